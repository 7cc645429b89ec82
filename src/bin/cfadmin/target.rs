//! The distributions or tenants that a command acts on.

use std::{fmt::Write, sync::Arc};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::Error,
    site::{Distribution, DistributionId, Tenant},
};

use crate::{
    LIMIT, Stop,
    account::Session,
    tenants::{self, MOST_SHOWN},
};

/// The target argument of a command.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Distribution or tenant: its id, an alias or domain name, a tenant's name, an origin's domain name, or a bucket (s3:// and its name)
    pub(crate) target: String,
}

/// A distribution or tenant that a target stands for.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) id: DistributionId,
    /// The distribution whose configuration a tenant uses. `None` for a distribution, or for a tenant
    /// that the target names by its id.
    pub(crate) parent: Option<DistributionId>,
    /// Its host names, and a tenant's name.
    names: Vec<String>,
}

/// The answer to a target that stands for several distributions or tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Several {
    /// An error, since the command takes only one.
    Never,
    /// An error, since the option `--all` is not given.
    WithoutAll,
    /// All of them.
    All,
}

impl Match {
    /// Creates the match of a target that is an id.
    const fn of_id(id: DistributionId) -> Self {
        Self { id, parent: None, names: Vec::new() }
    }

    fn of_distribution(one: &Distribution) -> Self {
        Self { id: one.id.clone(), parent: None, names: one.names().map(str::to_owned).collect() }
    }

    fn of_tenant(tenant: Tenant) -> Self {
        let Tenant { id, distribution, name, domains, .. } = tenant;
        Self {
            id,
            parent: Some(Arc::unwrap_or_clone(distribution)),
            names: [name.into()].into_iter().chain(domains).collect(),
        }
    }
}

impl Target {
    /// Finds the distributions and tenants that the target stands for. A multi-tenant distribution
    /// stands for its enabled tenants. Returns an id as it is, without a call to CloudFront: if
    /// CloudFront does not find it, see [`instead`](Self::instead).
    ///
    /// # Errors
    ///
    /// If nothing matches, or if several match and `several` does not allow that.
    pub(crate) async fn find(&self, account: &Session, several: Several) -> Result<Vec<Match>, Stop> {
        let Self { target } = self;
        if let Ok(id) = target.parse() {
            return Ok(vec![Match::of_id(id)]);
        }
        let client = &account.client;
        let listed = client.distributions(LIMIT).await?;
        let aliases = &account.config.search.aliases;
        let bucket = target.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/'));
        let is_meant = |one: &&Distribution| match bucket {
            Some(bucket) => one.has_bucket(bucket, aliases),
            None => one.is_called(target),
        };
        let named: Vec<&Distribution> = listed.iter().filter(is_meant).collect();
        let mut found = Vec::new();
        for distribution in &named {
            let tenants = match bucket {
                _ if !distribution.multi_tenant => {
                    found.push(Match::of_distribution(distribution));
                    continue;
                }
                Some(bucket) => tenants::with_bucket(client, distribution, bucket, aliases).await?,
                None => tenants::enabled(client, &distribution.id).await?,
            };
            found.extend(tenants.into_iter().map(Match::of_tenant));
        }
        if named.is_empty() && bucket.is_none() {
            found.extend(tenants::called(client, &listed, target).await?.map(Match::of_tenant));
        }
        // The tenants come last, since an error shows only some of them.
        found.sort_by_key(|one| one.id.is_tenant());
        match &named[..] {
            [] if found.is_empty() => {
                let or_tenant = if listed.iter().any(|one| one.multi_tenant) { " or tenant" } else { "" };
                let listed: Vec<Match> = listed.iter().map(Match::of_distribution).collect();
                Err(Stop::NotFound(format!(
                    "no distribution{or_tenant} matches {target:?}; there {}",
                    list(&listed)
                )))
            }
            [distribution, ..] if found.is_empty() => Err(self.no_enabled_tenant(&distribution.id)),
            _ => self.choose(found, several),
        }
    }

    /// Finds the only distribution or tenant that the target stands for.
    pub(crate) async fn find_one(&self, account: &Session) -> Result<DistributionId, Stop> {
        let mut found = self.find(account, Several::Never).await?;
        let one = found.pop().map(|one| one.id);
        one.ok_or_else(|| Stop::NotFound(format!("no distribution matches {:?}", self.target)))
    }

    /// Finds the enabled tenants of the distribution that the target names by its id. `error` is
    /// CloudFront's answer about the distribution itself: CloudFront does not find it if it is
    /// multi-tenant.
    ///
    /// # Errors
    ///
    /// Returns `error` if it has another cause, and fails like [`find`](Self::find).
    pub(crate) async fn instead(
        &self,
        account: &Session,
        error: Error,
        several: Several,
    ) -> Result<Vec<Match>, Stop> {
        self.choose(self.tenants(account, error).await?, several)
    }

    /// Returns the error for a command about an invalidation that CloudFront does not find, or any
    /// other error of CloudFront.
    pub(crate) async fn explain(&self, account: &Session, error: Error) -> Stop {
        match self.tenants(account, error).await {
            Ok(tenants) => self.is_for_tenants(&tenants),
            Err(stop) => stop,
        }
    }

    async fn tenants(&self, account: &Session, error: Error) -> Result<Vec<Match>, Stop> {
        let Some(id) = self.distribution().filter(|_| error.is_not_found()) else { return Err(error.into()) };
        let mut tenants = match account.client.tenants(&id, LIMIT).await {
            Ok(tenants) if tenants.is_empty() => return Err(error.into()),
            Ok(tenants) => tenants,
            Err(why) if why.is_not_found() => return Err(error.into()),
            Err(why) => {
                return Err(Stop::NotFound(format!(
                    "{error} If {id} is multi-tenant, name one of its tenants by its id, name or domain. They \
                     cannot be listed: {why}"
                )));
            }
        };
        tenants.retain(|one| one.enabled);
        if tenants.is_empty() {
            return Err(self.no_enabled_tenant(&id));
        }
        Ok(tenants.into_iter().map(Match::of_tenant).collect())
    }

    /// Returns an error if the target is the id of a multi-tenant distribution: a list of its
    /// invalidations is always empty.
    pub(crate) async fn must_have_invalidations(&self, account: &Session) -> Result<(), Stop> {
        let Some(id) = self.distribution() else { return Ok(()) };
        match tenants::enabled(&account.client, &id).await {
            Ok(tenants) if !tenants.is_empty() => {
                let tenants: Vec<Match> = tenants.into_iter().map(Match::of_tenant).collect();
                Err(self.is_for_tenants(&tenants))
            }
            // The list was empty for another reason, and this only explains it.
            _ => Ok(()),
        }
    }

    /// Returns the distribution that the target names by its id. `None` if it names a tenant, or
    /// anything else.
    fn distribution(&self) -> Option<DistributionId> {
        self.target.parse::<DistributionId>().ok().filter(|id| !id.is_tenant())
    }

    fn choose(&self, found: Vec<Match>, several: Several) -> Result<Vec<Match>, Stop> {
        if found.len() < 2 || several == Several::All {
            return Ok(found);
        }
        let kinds = match found.iter().filter(|one| one.id.is_tenant()).count() {
            0 => "distributions",
            tenants if tenants == found.len() => "tenants",
            _ => "distributions and tenants",
        };
        let or_all = if several == Several::WithoutAll { " or pass --all" } else { "" };
        Err(Stop::Usage(format!(
            "several {kinds} match {:?}; name one by its id{or_all}; there {}",
            self.target,
            list(&found)
        )))
    }

    fn is_for_tenants(&self, tenants: &[Match]) -> Stop {
        Stop::NotFound(format!(
            "{} is multi-tenant, and only its tenants have invalidations; name one by its id; there {}",
            self.target,
            list(tenants)
        ))
    }

    fn no_enabled_tenant(&self, distribution: &DistributionId) -> Stop {
        Stop::NotFound(format!(
            "{:?} matches no enabled tenant of {distribution}; for a disabled one, give its id, name or domain",
            self.target
        ))
    }
}

/// Formats the first matches, one on each line, and the number of the others.
fn list(matches: &[Match]) -> String {
    let mut text = match matches {
        [] => "is none".to_owned(),
        [_] => "is".to_owned(),
        _ => "are".to_owned(),
    };
    let most = if matches.iter().any(|one| one.id.is_tenant()) { MOST_SHOWN } else { usize::MAX };
    for Match { id, names, .. } in matches.iter().take(most) {
        let _ = write!(text, "\n  {id}  {}", names.join(", "));
    }
    if matches.len() > most {
        let _ = write!(text, "\n  … and {} more: see cfadmin ls --tenants", matches.len() - most);
    }
    text
}
