//! The questions before everything is purged, or a bucket is changed.

use std::io::{self, BufRead, IsTerminal};

use cloudfront_invalidator::text::Plain;

use crate::{LIMIT, Stop, account::Session, target::Match};

/// Asks whether to purge everything in these distributions, because of `why` if that is given.
/// Without a terminal, nobody can answer.
///
/// # Errors
///
/// If the answer is no, or nobody can answer.
pub(crate) async fn confirm(account: &Session, matches: &[Match], why: Option<&str>) -> Result<(), Stop> {
    let because = why.map_or(String::new(), |why| format!(" ({})", Plain(why)));
    let of = names(account, matches, can_ask()).await;
    if !can_ask() {
        return Err(Stop::Usage(format!(
            "/* purges everything of {of}{because}; pass --yes if that is what you want"
        )));
    }
    if ask(&format!("purge everything of {of}{because}?"))? {
        return Ok(());
    }
    Err(Stop::Usage("nothing was purged".to_owned()))
}

/// Returns whether somebody at a terminal can answer a question.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question, and returns whether the answer is yes.
pub(crate) fn ask(question: &str) -> Result<bool, Stop> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Stop::io("standard input"))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Returns the ids of the distributions with their names. Looks up missing names if `looks_up`.
async fn names(account: &Session, matches: &[Match], looks_up: bool) -> String {
    let is_nameless = matches.iter().any(|one| one.names().is_empty());
    let listed = if looks_up && is_nameless {
        // The question needs no name, so an error may not prevent it.
        account.client.distributions(LIMIT).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    let named = matches.iter().map(|one| {
        let listed = listed.iter().find(|listed| listed.id == one.id);
        let listed = listed.and_then(|listed| listed.names().next());
        match one.names().first().map(String::as_str).or(listed) {
            Some(name) => format!("{} ({})", one.id, Plain(name)),
            None => one.id.to_string(),
        }
    });
    cloudfront_invalidator::text::joined(named, ", ")
}
