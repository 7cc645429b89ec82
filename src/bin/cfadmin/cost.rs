//! `cfadmin cost`: the cost of a month's invalidations.

use std::{
    cmp::{Ordering, Reverse},
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Error},
    report::{FREE_PATHS, dollars, thousands},
    site::DistributionId,
    text::counted,
    usage::Month,
};
use serde::Serialize;

use crate::{Exit, LIMIT, Stop, account::Connection, out::Output, tenants::MOST_SHOWN};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin cost
  cfadmin cost --month 2026-10";

/// Count the paths that were purged in a month, in each distribution and tenant, and their cost and forecast
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Month, in UTC [default: this month]
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<String>,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

fn month(text: &str) -> Result<String, String> {
    let number = |text: &str, digits: usize| {
        let is_one = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_one)
    };
    let (year, month) = text.split_once('-').unwrap_or((text, ""));
    match (number(year, 4), number(month, 2)) {
        (Some(_), Some(1..=12)) => Ok(text.to_owned()),
        _ => Err("write a month as 2026-11".to_owned()),
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let month = arguments.month.as_deref().unwrap_or(&now[..7]);
    let is_present = month == &now[..7];
    let account = arguments.connection.open().await?;
    let client = &account.client;
    let mut counts = Vec::new();
    for distribution in client.distributions(LIMIT).await? {
        if distribution.multi_tenant {
            for tenant in client.tenants(&distribution.id, LIMIT).await? {
                counts.push(Count::of(client, tenant.id, Some(distribution.id.clone()), month).await?);
            }
        } else {
            counts.push(Count::of(client, distribution.id, None, month).await?);
        }
    }
    let paths = counts.iter().map(|one| one.paths).sum::<usize>();
    let beyond = |paths: usize| dollars(paths.saturating_sub(FREE_PATHS));
    let left = FREE_PATHS.saturating_sub(paths);
    let forecast =
        is_present.then(|| Month::new(FREE_PATHS, paths, cloudfront_invalidator::now()).forecast());
    let mut document = serde_json::json!({
        "month": month, "paths": paths, "free": FREE_PATHS, "left": left, "dollars": beyond(paths),
        "lower_bound": true, "distributions": counts,
    });
    if let Some(forecast) = forecast {
        document["forecast"] = forecast.into();
        document["forecast_dollars"] = beyond(forecast).into();
    }
    arguments.output.print(&document, |out| {
        let groups = counts.chunk_by(|one, next| one.parent.is_some() && one.parent == next.parent);
        groups.into_iter().try_for_each(|group| write_group(out, group))?;
        let (used, free) = (thousands(paths), thousands(FREE_PATHS));
        writeln!(
            out,
            "{month}: {used} of {free} free paths used, {} left: at least ${}",
            thousands(left),
            beyond(paths)
        )?;
        if io::stdout().is_terminal() {
            writeln!(out, "{}", bar(paths, FREE_PATHS))?;
        }
        if let Some(forecast) = forecast {
            writeln!(
                out,
                "Forecast: {} by the end of the month, ${}",
                counted(forecast, "path"),
                beyond(forecast)
            )?;
        }
        writeln!(
            out,
            "A lower bound: deleted distributions and tenants are not listed, nor are invalidations that CloudFront \
             has forgotten. Under a flat-rate plan, the price is unknown, and probably nothing."
        )
    })?;
    Ok(Exit::Done)
}

/// Draws a part of a whole as a bar.
fn bar(part: usize, whole: usize) -> String {
    const WIDTH: usize = 40;
    let filled = (part * WIDTH).div_ceil(whole).min(WIDTH);
    format!("{}{} {} %", "█".repeat(filled), "░".repeat(WIDTH - filled), part * 100 / whole)
}

/// The invalidations of a month, in a distribution or a tenant.
#[derive(Serialize)]
struct Count {
    distribution: DistributionId,
    /// The distribution of a tenant.
    #[serde(skip)]
    parent: Option<DistributionId>,
    invalidations: usize,
    paths: usize,
}

impl Count {
    async fn of(
        client: &Client,
        distribution: DistributionId,
        parent: Option<DistributionId>,
        month: &str,
    ) -> Result<Self, Error> {
        let mut count = Self { distribution, parent, invalidations: 0, paths: 0 };
        for summary in client.invalidations(&count.distribution).await? {
            // The list begins with the newest.
            match summary.created[..summary.created.len().min(7)].cmp(month) {
                Ordering::Greater => {}
                Ordering::Less => break,
                Ordering::Equal => {
                    let seen = client.invalidation(&count.distribution, &summary.id).await?;
                    count.paths += seen.paths.len();
                    count.invalidations += 1;
                }
            }
        }
        Ok(count)
    }

    fn text(invalidations: usize, paths: usize) -> String {
        format!("{}, {}", counted(invalidations, "invalidation"), counted(paths, "path"))
    }
}

/// Writes the line of a distribution. For the tenants of one, writes their sum, and the lines of those
/// with the most paths.
fn write_group(out: &mut dyn Write, group: &[Count]) -> io::Result<()> {
    let line = |one: &Count| format!("{}  {}", one.distribution, Count::text(one.invalidations, one.paths));
    let parent = group.first().and_then(|one| one.parent.as_ref());
    let Some(parent) = parent else {
        return group.iter().try_for_each(|one| writeln!(out, "{}", line(one)));
    };
    let (invalidations, paths) = group
        .iter()
        .fold((0, 0), |(invalidations, paths), one| (invalidations + one.invalidations, paths + one.paths));
    writeln!(out, "{parent}  {} in {}", Count::text(invalidations, paths), counted(group.len(), "tenant"))?;
    let mut used: Vec<&Count> = group.iter().filter(|one| one.invalidations > 0).collect();
    used.sort_by_key(|one| Reverse(one.paths));
    used.iter().take(MOST_SHOWN).try_for_each(|one| writeln!(out, "  {}", line(one)))?;
    match used.len().saturating_sub(MOST_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} more"),
    }
}
