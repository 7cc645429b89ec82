//! `cfadmin ls`: lists the account's distributions, or their tenants.

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::Client,
    site::{Distribution, DistributionId, Tenant},
};
use serde::Serialize;

use crate::{Exit, LIMIT, Stop, account::Connection, out::Output, tenants::Counted};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin ls
  cfadmin ls --tenants --json";

/// List the account's distributions, or their tenants
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// List the tenants of all multi-tenant distributions instead
    #[arg(long)]
    tenants: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// The JSON document of a tenant.
#[derive(Serialize)]
struct TenantJson<'a> {
    id: &'a DistributionId,
    name: &'a str,
    domains: &'a [String],
    status: &'a str,
    enabled: bool,
    distribution: &'a DistributionId,
}

impl<'a> TenantJson<'a> {
    fn of(tenant: &'a Tenant) -> Self {
        let Tenant { id, distribution, name, domains, enabled, status, .. } = tenant;
        Self { id, name, domains, status, enabled: *enabled, distribution }
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distributions = account.client.distributions(LIMIT).await?;
    if arguments.tenants {
        return list_tenants(&account.client, &distributions, &arguments.output).await;
    }
    let mut listed = Vec::with_capacity(distributions.len());
    for distribution in distributions {
        listed.push(Counted::of(&account.client, distribution).await);
    }
    arguments.output.table(&["ID", "STATUS", "DOMAIN", "ALIASES", "ORIGINS"], &listed, |one| {
        let Distribution { id, domain_name, aliases, .. } = &one.distribution;
        let status = status(one.distribution.enabled, &one.distribution.status);
        let origins = one.distribution.origins.iter();
        let origins: Vec<String> =
            origins.map(|origin| format!("{}{}", origin.domain_name, origin.path)).collect();
        let cells = vec![id.to_string(), status, domain_name.clone(), names(aliases), origins.join(", ")];
        let tenants = one.text().map(|text| format!("tenants: {text} (list them with --tenants)"));
        (cells, tenants.into_iter().collect())
    })?;
    Ok(Exit::Done)
}

async fn list_tenants(client: &Client, listed: &[Distribution], output: &Output) -> Result<Exit, Stop> {
    let mut tenants = Vec::new();
    for distribution in listed.iter().filter(|one| one.multi_tenant) {
        tenants.extend(client.tenants(&distribution.id, LIMIT).await?);
    }
    let tenants: Vec<TenantJson<'_>> = tenants.iter().map(TenantJson::of).collect();
    output.table(&["ID", "STATUS", "NAME", "DOMAINS", "DISTRIBUTION"], &tenants, |one| {
        let status = status(one.enabled, one.status);
        let (id, distribution) = (one.id.to_string(), one.distribution.to_string());
        (vec![id, status, one.name.to_owned(), names(one.domains), distribution], Vec::new())
    })?;
    Ok(Exit::Done)
}

fn status(enabled: bool, status: &str) -> String {
    if enabled { status.to_owned() } else { "Disabled".to_owned() }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}
