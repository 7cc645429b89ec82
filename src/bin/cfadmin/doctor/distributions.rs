//! Judges whether distributions serve a bucket.

use cloudfront_invalidator::{
    discover::Target,
    site::{Distribution, Origin, OriginPath},
};

use super::{
    Check,
    chain::{Chain, Reading, stands_for},
    checks::{note, ok, unknown, wrong},
};

/// Checks which distributions serve the bucket.
pub(super) fn checked(reading: &Reading, chain: &Chain) -> Vec<Check> {
    const PART: &str = "distribution";
    let Some(config) = reading.settings() else { return Vec::new() };
    let listed = match &chain.distributions {
        Ok(listed) => listed,
        Err(why) => return vec![unknown(PART, why)],
    };
    let search = &config.search;
    let bucket = format!("s3://{}", chain.bucket);
    let mut checks = Vec::new();
    let has_tenants = listed.iter().any(|one| one.multi_tenant);
    for target in &search.distributions {
        // No list of distributions contains their tenants.
        let may_be_tenant = match target {
            Target::Id(id) => id.is_tenant(),
            Target::Domain(_) => has_tenants,
        };
        if listed.iter().any(|one| stands_for(target, one)) {
            continue;
        }
        if may_be_tenant {
            let text = format!(
                "the settings name {}, which may be a tenant; this looks up no tenants",
                shown(target)
            );
            checks.push(note(PART, text));
        } else {
            let text =
                format!("the settings name {}, which is no distribution of this account", shown(target));
            checks.push(wrong(PART, text, "correct DistributionIds, and deploy the stack again"));
        }
    }
    for one in listed {
        let has_bucket = one.has_bucket(&chain.bucket, &search.aliases);
        let is_named = reading.names(one);
        if !(is_named || has_bucket && search.distributions.is_empty()) {
            continue;
        }
        let name = one.names().next().map_or(one.id.to_string(), |name| format!("{} ({name})", one.id));
        let own = one.origins.iter().filter(|origin| origin.is_bucket(&chain.bucket, &search.aliases));
        let directories: Vec<OriginPath> = own.map(Origin::directory).collect();
        let served: Vec<String> = directories
            .iter()
            .map(|directory| format!("{bucket}/{}", String::from_utf8_lossy(directory.prefix())))
            .collect();
        let served = served.join(" and ");
        checks.push(if !one.enabled {
            note(PART, format!("{name} is disabled, so it is ignored"))
        } else if directories.is_empty() {
            let text =
                format!("{name} has no origin that is {bucket}, but is purged because the settings name it");
            note(PART, text)
        } else if is_named && !directories.contains(&search.origin_path) {
            let text = format!("{name} serves {served}, but the settings have another origin path");
            wrong(PART, text, "deploy the stack with the OriginPath of the distribution")
        } else {
            ok(PART, format!("{name} serves {served}"))
        });
        checks.extend(of_edges(one));
    }
    if checks.is_empty() {
        checks.push(wrong(
            PART,
            format!("no distribution has {bucket} as an origin"),
            "make it an origin, or set BucketAliases or DistributionIds",
        ));
    }
    checks
}

/// Checks what only the details of a distribution show.
fn of_edges(one: &Distribution) -> Vec<Check> {
    let mut checks = Vec::new();
    let functions: Vec<String> =
        one.behaviors.iter().flat_map(|behavior| &behavior.edge_functions).map(ToString::to_string).collect();
    if let Some(first) = functions.first() {
        let text = format!("{} runs {first}, which may ask for other objects", one.id);
        let next = "see \"Which settings for my site\" in docs/recipes.md, and compare cfadmin explain s3://BUCKET/KEY";
        checks.push(Check { next: Some(next.to_owned()), ..note("distribution", text) });
    }
    checks.extend(one.has_cache_tags.map(|has_cache_tags| {
        if has_cache_tags {
            ok("cache tags", format!("{} reads them", one.id))
        } else {
            note("cache tags", format!("{} reads none, so purging a tag does nothing", one.id))
        }
    }));
    checks
}

fn shown(target: &Target) -> &str {
    match target {
        Target::Id(id) => id.as_str(),
        Target::Domain(domain) => domain,
    }
}
