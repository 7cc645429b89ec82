//! Formats the report for people.

use std::fmt;

use super::{
    Behind, Report,
    price::{dollars, used},
    tenants::Tenants,
};
use crate::{
    cover::Covering,
    event::Change,
    path::{Item, Kind, why_widened},
    plan::{Cause, Invalidation, Policy, Reason, reasons},
    site::Form,
    submit::Sent,
    text::{Plain, counted},
};

/// Maximum number of reasons to show for one item, unless the caller wants all of them.
const FEW: usize = 3;

impl fmt::Display for Report {
    /// Writes each invalidation with its paths, then the ignored changes, the problems, and the
    /// bill.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome.is_none() {
            writeln!(f, "dry run: nothing was sent")?;
        }
        let mut tenants = Tenants::new(&self.found.sites, false);
        for (index, invalidation) in self.plan.invalidations.iter().enumerate() {
            if !tenants.shows(invalidation, self.is_failed(index)) {
                continue;
            }
            self.heading(f, index, invalidation)?;
            match self.sent(index) {
                Some(Sent::Folded(part, _)) => {
                    part.items.iter().try_for_each(|item| writeln!(f, "  {item}"))?;
                }
                Some(Sent::Isolated(isolated)) => {
                    let items = isolated.accepted.iter().flat_map(|part| &part.items);
                    items.into_iter().try_for_each(|item| writeln!(f, "  {item}"))?;
                }
                _ => {
                    invalidation.paths().try_for_each(|path| writeln!(f, "  {path}"))?;
                    more(f, invalidation)?;
                }
            }
        }
        tenants.write_rest(f)?;
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
    /// Returns the report with the reasons for each item. If many changes need one item, or many
    /// tenants an invalidation, it shows only a few of them, unless `all` is true. `policy` must be the one that the plan was made
    /// with.
    #[must_use]
    pub fn explain(&self, policy: &Policy, all: bool) -> impl fmt::Display {
        let reasons = reasons(&self.batch, policy, self.known(), &self.plan.invalidations);
        Explained { report: self, reasons, all }
    }

    /// Returns whether nothing, or not everything, of an invalidation was accepted.
    fn is_failed(&self, index: usize) -> bool {
        match self.sent(index) {
            Some(Sent::Failed(_)) => true,
            Some(Sent::Isolated(isolated)) => !isolated.unsent.is_empty(),
            _ => false,
        }
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>, index: usize, of: &Invalidation) -> fmt::Result {
        let purge = &of.purge;
        let items = counted(purge.item_count, "path");
        let wildcards = counted(purge.wildcard_count, "wildcard");
        let folded = purge.items.iter().filter(|one| one.folded);
        let (folds, behind) = folded.fold((0, 0), |(folds, behind), one| (folds + 1, behind + one.covers));
        let wildcards = match folds {
            0 => wildcards,
            _ => format!("{wildcards}, {folds} of them folded from {}", counted(behind, "path")),
        };
        match self.sent(index) {
            None => writeln!(f, "{}  {items}, {wildcards}", of.distribution),
            Some(Sent::Accepted(created)) => {
                let existed = if created.is_new { "" } else { "existed already  " };
                let (id, status) = (&created.id, &created.status);
                writeln!(f, "{}  {id}  {status}  {existed}{items}, {wildcards}", of.distribution)
            }
            Some(Sent::Isolated(isolated)) => {
                writeln!(
                    f,
                    "{}  in {}  {items}, {wildcards}",
                    of.distribution,
                    counted(isolated.accepted.len(), "part")
                )?;
                for refused in &isolated.refused {
                    let is_it = |one: &&Behind| one.invalidation == index && one.item == refused.item;
                    let item = self.behind.iter().find(is_it).map_or("", |behind| &*behind.path);
                    match &refused.instead {
                        Some(instead) => writeln!(f, "  REFUSED  {item}, purged as {instead}")?,
                        None => writeln!(f, "  REFUSED  {item}")?,
                    }
                }
                if !isolated.unsent.is_empty() {
                    let why = isolated.error.to_string();
                    writeln!(f, "  FAILED  {}: {}", counted(isolated.unsent.len(), "path"), Plain(&why))?;
                }
                Ok(())
            }
            Some(Sent::Folded(part, why)) => {
                let (id, status) = (&part.created.id, &part.created.status);
                let (paths, why) = (counted(part.items.len(), "path"), why.to_string());
                writeln!(
                    f,
                    "{}  {id}  {status}  {paths} instead of {items}: {}",
                    of.distribution,
                    Plain(&why)
                )
            }
            Some(Sent::AlreadyDone { .. }) => {
                writeln!(f, "{}  existed already  {items}, {wildcards}", of.distribution)
            }
            Some(Sent::Failed(error)) => {
                let why = error.to_string();
                writeln!(f, "{}  FAILED  {}: {}", of.distribution, error.error_type(), Plain(&why))
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
            writeln!(f, "could not be processed")?;
        }
        for (message, why) in self.unreadable() {
            match &self.batch.messages[message].id {
                Some(id) => writeln!(f, "  message {id:?}: {}", Plain(&why))?,
                None => writeln!(f, "  {}", Plain(&why))?,
            }
        }
        if let Some(error) = self.listing.as_ref().and_then(|listing| listing.failure.as_ref()) {
            writeln!(f, "NOT LISTED  {}; the wildcards are an estimate", Plain(&error.to_string()))?;
        }
        if let Some(error) = &self.findings.failure {
            let (changes, why) = (counted(self.findings.unjudged, "change"), error.to_string());
            writeln!(f, "NOT JUDGED  {}; {changes} purged without asking S3", Plain(&why))?;
        }
        if let Some(failed) = self.look_up() {
            writeln!(f, "distribution lookup failed: {}: {}", failed.error_type, Plain(&failed.error))?;
            let waiting = counted(failed.waiting, "message");
            writeln!(f, "  {waiting} could not be processed without it")?;
        }
        let (planned, failed) = (self.plan.invalidations.len(), self.failures().count());
        let causes = self.batch.changes.len() + self.batch.requests.len();
        write!(f, "{} from {}", counted(planned - failed, "invalidation"), counted(causes, "change"))?;
        if failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        let billed = self.billed_paths();
        let verb = if self.outcome.is_some() { "billed" } else { "to bill" };
        let (paths, dollars) = (counted(billed, "path"), dollars(billed));
        let Some(month) = &self.month else {
            return writeln!(f, ", {paths} {verb}: ${dollars} beyond the first 1,000 of the month");
        };
        writeln!(f, ", {paths} {verb}; {}", used(month))?;
        if let Some(error) = self.grant.as_ref().and_then(|grant| grant.failure.as_ref()) {
            writeln!(f, "NOT COUNTED  {}; the number of paths is a guess", Plain(&error.to_string()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = self.reasons.iter().peekable();
        let mut tenants = Tenants::new(&self.report.found.sites, self.all);
        for (index, invalidation) in self.report.plan.invalidations.iter().enumerate() {
            let mut behind = vec![Vec::new(); invalidation.purge.items.len()];
            while let Some(reason) = reasons.next_if(|reason| reason.invalidation == index) {
                behind[reason.covering].push(reason);
            }
            if !tenants.shows(invalidation, self.report.is_failed(index)) {
                continue;
            }
            self.report.heading(f, index, invalidation)?;
            let longest = invalidation.paths().map(str::len).max().unwrap_or_default();
            for (covering, behind) in invalidation.purge.items.iter().zip(&behind) {
                self.item(f, covering, behind, longest.min(48))?;
            }
            more(f, invalidation)?;
            writeln!(f, "  caller reference {}", invalidation.caller_reference)?;
        }
        tenants.write_rest(f)?;
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
            Some(reason) if !covering.folded => Because(reason).label(),
            _ => "folded",
        };
        // SQS and S3 may deliver the same cause more than once: show it once, with a count.
        let mut causes: Vec<(String, &Item, usize)> = Vec::new();
        for reason in behind {
            let because = Because(reason).to_string();
            let known = causes.iter().position(|(known, item, _)| *known == because && *item == &reason.item);
            match known {
                Some(index) => causes[index].2 += 1,
                None if self.all || causes.len() <= FEW => causes.push((because, &reason.item, 1)),
                None => {}
            }
        }
        let times = |times: usize| if times == 1 { String::new() } else { format!(" (×{times})") };
        if let [(because, _, often)] = &causes[..]
            && !covering.folded
        {
            return writeln!(f, "  {label:<7}  {path:<width$}  {because}{}", times(*often));
        }
        writeln!(f, "  {label:<7}  {path:<width$}  {}", counted(covering.covers, "path"))?;
        let shown = if self.all { causes.len() } else { causes.len().min(FEW) };
        let mut told = 0;
        for (because, item, often) in &causes[..shown] {
            told += often;
            writeln!(f, "             {item:<width$}  {because}{}", times(*often))?;
        }
        match behind.len().saturating_sub(told) {
            0 => Ok(()),
            more => writeln!(f, "             … and {more} more"),
        }
    }
}

/// Writes how many paths are not shown, if any.
fn more(f: &mut fmt::Formatter<'_>, invalidation: &Invalidation) -> fmt::Result {
    match invalidation.purge.item_count - invalidation.purge.items.len() {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more"),
    }
}

/// The cause of an item, and how the item follows from it, in words.
struct Because<'a>(&'a Reason<'a>);

impl Because<'_> {
    /// Returns the kind of reason, in one word.
    fn label(&self) -> &'static str {
        match (self.0.cause, self.0.form, self.0.item.kind()) {
            (Cause::Request(_), _, Kind::Wildcard) if !self.requested_text().ends_with('*') => "widened",
            (Cause::Request(_), _, _) => "typed",
            (_, Form::AnyQuery, _) => "form",
            (_, Form::ErrorPage, _) => "error",
            (_, Form::EdgeFunction | Form::WholeBucket, _) | (_, _, Kind::Wildcard) => "widened",
            (_, Form::Object | Form::Request, _) => "exact",
            (_, Form::Root | Form::Directory | Form::BareDirectory | Form::CleanUrl, _) => "form",
        }
    }

    /// Returns the text in the manual event that became the item. Empty if the cause is a change.
    fn requested_text(&self) -> &str {
        let Cause::Request(request) = self.0.cause else { return "" };
        let became = |text: &&String| text.parse::<Item>().as_ref() == Ok(&self.0.item);
        request.paths.iter().find(became).map_or("", String::as_str)
    }
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause::Change(change) = self.0.cause else {
            return write!(f, "requested as {:?}", self.requested_text());
        };
        match self.0.form {
            Form::Object | Form::Request => write!(f, "{}", Subject(change))?,
            form => write!(f, "{form} {}", Subject(change))?,
        }
        match why_widened(change.key.as_bytes()) {
            Some(why) if self.0.item.kind() == Kind::Wildcard => write!(f, " ({why})"),
            _ => Ok(()),
        }
    }
}

/// An object, and the event that reports its change.
struct Subject<'a>(&'a Change);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = self.0;
        write!(f, "s3://{}/{} {}", Plain(&change.bucket), change.key, Plain(&change.event))
    }
}
