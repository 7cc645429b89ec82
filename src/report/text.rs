//! The report as people read it.

use std::fmt;

use super::Report;
use crate::{
    cover::Covering,
    event::Change,
    path::{Kind, why_widened},
    plan::{Cause, Invalidation, Policy, Reason, reasons},
    site::Form,
    submit::Sent,
};

/// What CloudFront charges for a path beyond the free ones, in tenths of a cent.
///
/// <https://aws.amazon.com/cloudfront/pricing/>
const MILLS_PER_PATH: usize = 5;

/// How many reasons are shown for one item, unless all are asked for.
const FEW: usize = 3;

impl fmt::Display for Report {
    /// Each invalidation with its paths, as CloudFront returned it where it did, then
    /// what was ignored and what could not be done, then the bill.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, invalidation) in self.plan.invalidations.iter().enumerate() {
            self.heading(f, index, invalidation)?;
            if let Some(Sent::Accepted(created)) = self.sent(index) {
                created.paths.iter().try_for_each(|path| writeln!(f, "  {path}"))?;
            } else {
                invalidation.paths().try_for_each(|path| writeln!(f, "  {path}"))?;
            }
        }
        self.rest(f)
    }
}

/// A report with the reasons for every item: see [`Report::explain`].
struct Explained<'a> {
    report: &'a Report,
    reasons: Vec<Reason<'a>>,
    all: bool,
}

impl Report {
    /// The report with, for each item, why it is there. Where many changes stand
    /// behind one item, only a few are shown, unless `all` is true. `policy` is the
    /// one that the plan was made with.
    #[must_use]
    pub fn explain(&self, policy: &Policy, all: bool) -> impl fmt::Display {
        Explained { report: self, reasons: reasons(&self.batch, policy, &self.plan), all }
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>, index: usize, of: &Invalidation) -> fmt::Result {
        let wildcards = of.items.iter().filter(|one| one.item.kind() == Kind::Wildcard).count();
        let (items, wildcards) = (counted(of.items.len(), "path"), counted(wildcards, "wildcard"));
        match self.sent(index) {
            None => writeln!(f, "{}  {items}, {wildcards}", of.distribution),
            Some(Sent::Accepted(created)) => {
                writeln!(f, "{}  {}  {}  {items}, {wildcards}", of.distribution, created.id, created.status)
            }
            Some(Sent::AlreadyDone) => {
                writeln!(f, "{}  already done  {items}, {wildcards}", of.distribution)
            }
            Some(Sent::Failed(error)) => {
                writeln!(f, "{}  FAILED  {}: {error}", of.distribution, error.error_type())
            }
        }
    }

    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.plan.ignored.is_empty() {
            writeln!(f, "ignored")?;
        }
        for (index, why) in &self.plan.ignored {
            writeln!(f, "  {}: {why}", Subject(&self.batch.changes[*index]))?;
        }
        if self.unreadable().next().is_some() {
            writeln!(f, "cannot be done, handed back")?;
        }
        for (message, why) in self.unreadable() {
            match &self.batch.messages[message].id {
                Some(id) => writeln!(f, "  message {id:?}: {why}")?,
                None => writeln!(f, "  {why}")?,
            }
        }
        let (sent, billed) = (self.plan.invalidations.len(), self.billed_paths());
        let mills = billed * MILLS_PER_PATH;
        writeln!(
            f,
            "{} from {}, {} billed: ${}.{:03} beyond the first 1,000 of the month",
            counted(sent, "invalidation"),
            counted(self.batch.changes.len() + self.batch.requests.len(), "change"),
            counted(billed, "path"),
            mills / 1000,
            mills % 1000,
        )
    }
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = self.reasons.iter().peekable();
        for (index, invalidation) in self.report.plan.invalidations.iter().enumerate() {
            self.report.heading(f, index, invalidation)?;
            let mut behind = vec![Vec::new(); invalidation.items.len()];
            while let Some(reason) = reasons.next_if(|reason| reason.invalidation == index) {
                behind[reason.covering].push(reason);
            }
            let longest = invalidation.paths().map(str::len).max().unwrap_or_default();
            for (covering, behind) in invalidation.items.iter().zip(&behind) {
                self.item(f, covering, behind, longest.min(48))?;
            }
            writeln!(f, "  caller reference {}", invalidation.caller_reference)?;
        }
        self.report.rest(f)
    }
}

impl Explained<'_> {
    fn item(
        &self,
        f: &mut fmt::Formatter<'_>,
        covering: &Covering,
        behind: &[&Reason<'_>],
        width: usize,
    ) -> fmt::Result {
        let path = &covering.item;
        let own = behind.iter().find(|reason| reason.item == *path);
        let label = match own {
            _ if covering.folded => "folded",
            None => "folded",
            Some(reason) => match (reason.form, path.kind()) {
                (Form::Typed, _) => "typed",
                (Form::AnyQuery, _) => "form",
                (_, Kind::Wildcard) => "widened",
                (Form::Object, _) => "exact",
                (Form::Directory | Form::BareDirectory | Form::CleanUrl, _) => "form",
            },
        };
        if let [only] = behind
            && !covering.folded
        {
            return writeln!(f, "  {label:<7}  {path:<width$}  {}", Because(only));
        }
        writeln!(f, "  {label:<7}  {path:<width$}  {}", counted(covering.covers, "path"))?;
        let shown = if self.all { behind.len() } else { FEW };
        for reason in behind.iter().take(shown) {
            writeln!(f, "           {:<width$}  {}", reason.item, Because(reason))?;
        }
        match behind.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(f, "           … and {more} more"),
        }
    }
}

/// What asked for an item, and how the item follows from it.
struct Because<'a>(&'a Reason<'a>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause::Change(change) = self.0.cause else {
            return f.write_str("as asked for by hand");
        };
        match self.0.form {
            Form::Object | Form::Typed => write!(f, "{}", Subject(change))?,
            form => write!(f, "{form} {}", Subject(change))?,
        }
        match why_widened(change.key.as_bytes()) {
            Some(why) if self.0.item.kind() == Kind::Wildcard => write!(f, " ({why})"),
            _ => Ok(()),
        }
    }
}

/// An object and what happened to it.
struct Subject<'a>(&'a Change);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = self.0;
        write!(f, "s3://{}/{} {}", change.bucket.escape_debug(), change.key, change.event.escape_debug())
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
