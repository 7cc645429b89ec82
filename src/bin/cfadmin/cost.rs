//! `cfadmin cost`: the cost of a month's invalidations.

use std::time::SystemTime;

use clap::Args;
use cloudfront_invalidator::{
    report::{FREE_PATHS, dollars},
    text::counted,
};

use crate::{Exit, LIMIT, Stop, account::Connection, out::Output};

/// Count the paths that were purged in a month, and their cost
#[derive(Debug, Args)]
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
    let account = arguments.connection.open().await?;
    let client = &account.client;
    let (mut paths, mut counts) = (0, Vec::new());
    let mut ids = Vec::new();
    for distribution in client.distributions(LIMIT).await.map_err(Stop::of("ListDistributions"))? {
        if distribution.multi_tenant {
            let tenants = client.tenants(&distribution.id, LIMIT).await;
            let tenants = tenants.map_err(Stop::of("ListDistributionTenants"))?;
            ids.extend(tenants.into_iter().map(|tenant| tenant.id));
        } else {
            ids.push(distribution.id);
        }
    }
    for id in ids {
        let (mut of_distribution, mut invalidations) = (0, 0);
        for summary in client.invalidations(&id).await.map_err(Stop::of("ListInvalidations"))? {
            // The list begins with the newest.
            match summary.created[..summary.created.len().min(7)].cmp(month) {
                std::cmp::Ordering::Greater => {}
                std::cmp::Ordering::Less => break,
                std::cmp::Ordering::Equal => {
                    let seen =
                        client.invalidation(&id, &summary.id).await.map_err(Stop::of("GetInvalidation"))?;
                    of_distribution += seen.paths.len();
                    invalidations += 1;
                }
            }
        }
        paths += of_distribution;
        counts.push((id, invalidations, of_distribution));
    }
    let dollars = dollars(paths.saturating_sub(FREE_PATHS));
    let distributions: Vec<_> = counts
        .iter()
        .map(|(id, invalidations, paths)| {
            serde_json::json!({"distribution": id, "invalidations": invalidations, "paths": paths})
        })
        .collect();
    let document = serde_json::json!({
        "month": month, "paths": paths, "free": FREE_PATHS, "dollars": dollars, "lower_bound": true,
        "distributions": distributions,
    });
    arguments.output.print(&document, |out| {
        for (id, invalidations, paths) in &counts {
            writeln!(out, "{id}  {}, {}", counted(*invalidations, "invalidation"), counted(*paths, "path"))?;
        }
        writeln!(out, "{month}: {} of which {FREE_PATHS} are free: at least ${dollars}", counted(paths, "path"))?;
        writeln!(
            out,
            "A lower bound: deleted distributions and tenants are not listed, nor are invalidations that CloudFront \
             has forgotten. Flat-rate plans bill nothing."
        )
    })?;
    Ok(Exit::Done)
}
