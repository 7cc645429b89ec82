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
    name::Name,
    tenants::{self, MOST_SHOWN},
};

/// The target argument of a command.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Distribution or tenant: its id or ARN, an alias or domain name, a tenant's name, an origin's domain name, a bucket,
    /// or a URL
    #[arg(value_parser = Name::parse)]
    target: Name,
}

/// A distribution or tenant that a target stands for.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) id: DistributionId,
    /// The distribution whose configuration a tenant uses. `None` for a distribution, or for a tenant
    /// that the target names by its id.
    pub(crate) parent: Option<DistributionId>,
    /// The host names, and a tenant's name.
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

    /// Returns its names, if they are known.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
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

/// Finds the distributions themselves and, for a multi-tenant one, its enabled tenants: with a
/// bucket, only those that have it.
async fn matches(
    account: &Session,
    named: &[&Distribution],
    bucket: Option<&str>,
) -> Result<Vec<Match>, Stop> {
    let Session { client, config, .. } = account;
    let mut found = Vec::new();
    for distribution in named {
        let tenants = match bucket {
            _ if !distribution.multi_tenant => {
                found.push(Match::of_distribution(distribution));
                continue;
            }
            Some(bucket) => {
                tenants::with_bucket(client, distribution, bucket, &config.search.aliases).await?
            }
            None => tenants::enabled(client, &distribution.id).await?,
        };
        found.extend(tenants.into_iter().map(Match::of_tenant));
    }
    Ok(found)
}

/// Returns the distribution whose wildcard alias fits a host best, if there is one.
fn with_wildcard<'a>(listed: &'a [Distribution], host: &str) -> Vec<&'a Distribution> {
    let fitting = listed.iter().filter_map(|one| Some((one.answers(host)?, one)));
    fitting.max_by_key(|(exactness, _)| *exactness).map(|(_, one)| one).into_iter().collect()
}

/// Returns the error for an id that no distribution has, with those that there are. If the
/// distribution exists, or the others cannot be listed, returns `error`.
async fn unknown(account: &Session, id: &DistributionId, error: Error) -> Stop {
    if !error.is_no_such_distribution() {
        return error.into();
    }
    match account.client.distributions(LIMIT).await {
        Ok(listed) if listed.iter().all(|one| one.id != *id) => {
            let listed: Vec<Match> = listed.iter().map(Match::of_distribution).collect();
            Stop::NotFound(format!(
                "no distribution has the id {id}; there {}",
                list(&listed, &account.options)
            ))
        }
        _ => error.into(),
    }
}

impl Target {
    /// Returns the bucket that the target names as `s3://bucket`. `None` if it names something else.
    pub(crate) fn bucket(&self) -> Option<&str> {
        self.target.text.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/'))
    }

    /// Parses a target that another option names.
    pub(crate) fn named(text: &str) -> Result<Self, String> {
        Ok(Self { target: Name::parse(text)? })
    }

    /// Returns the target as text, without the path of a URL.
    pub(crate) fn text(&self) -> &str {
        &self.target.text
    }

    /// Returns the path of a URL that is the target.
    pub(crate) fn path(&self) -> Option<&str> {
        self.target.path.as_deref()
    }

    /// Finds the distributions and tenants that the target stands for. A multi-tenant distribution
    /// stands for its enabled tenants. Returns an id as it is, without a call to CloudFront: if
    /// CloudFront does not find it, see [`instead`](Self::instead).
    ///
    /// # Errors
    ///
    /// If nothing matches, or if several match and `several` does not allow that.
    pub(crate) async fn find(&self, account: &Session, several: Several) -> Result<Vec<Match>, Stop> {
        let target = &self.target.text;
        if let Ok(id) = target.parse() {
            return Ok(vec![Match::of_id(id)]);
        }
        let client = &account.client;
        let listed = client.distributions(LIMIT).await?;
        let aliases = &account.config.search.aliases;
        let bucket = self.bucket();
        let mut named: Vec<&Distribution> = match bucket {
            Some(bucket) => listed.iter().filter(|one| one.has_bucket(bucket, aliases)).collect(),
            None => listed.iter().filter(|one| one.is_called(target)).collect(),
        };
        let mut found = matches(account, &named, bucket).await?;
        if named.is_empty() && bucket.is_none() {
            found.extend(tenants::called(client, &listed, target).await?.map(Match::of_tenant));
            if found.is_empty() {
                named = with_wildcard(&listed, target);
                found = matches(account, &named, None).await?;
            }
            if named.is_empty() && found.is_empty() && !target.is_empty() {
                // The name of a bucket, without s3://.
                let names_it = |one: &&Distribution| {
                    // A distribution that may serve any bucket would match every mistake.
                    one.buckets(aliases).is_some_and(|buckets| buckets.contains(target))
                };
                let with_bucket: Vec<&Distribution> = listed.iter().filter(names_it).collect();
                found = matches(account, &with_bucket, Some(target)).await?;
            }
        }
        // The tenants come last, since an error shows only some of them.
        found.sort_by_key(|one| one.id.is_tenant());
        match &named[..] {
            [] if found.is_empty() => {
                let or_tenant = if listed.iter().any(|one| one.multi_tenant) { " or tenant" } else { "" };
                let listed: Vec<Match> = listed.iter().map(Match::of_distribution).collect();
                Err(Stop::NotFound(format!(
                    "no distribution{or_tenant} matches {target:?}; there {}",
                    list(&listed, &account.options)
                )))
            }
            [distribution, ..] if found.is_empty() => Err(self.no_enabled_tenant(&distribution.id)),
            _ => self.choose(account, found, several),
        }
    }

    /// Finds the only distribution or tenant that the target stands for.
    pub(crate) async fn find_one(&self, account: &Session) -> Result<DistributionId, Stop> {
        let mut found = self.find(account, Several::Never).await?;
        let one = found.pop().map(|one| one.id);
        one.ok_or_else(|| Stop::NotFound(format!("no distribution matches {:?}", self.target.text)))
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
        self.choose(account, self.tenants(account, error).await?, several)
    }

    /// Returns the error for a command about an invalidation that CloudFront does not find, or any
    /// other error of CloudFront.
    pub(crate) async fn explain(&self, account: &Session, error: Error) -> Stop {
        match self.tenants(account, error).await {
            Ok(tenants) => self.is_for_tenants(account, &tenants),
            Err(stop) => stop,
        }
    }

    async fn tenants(&self, account: &Session, error: Error) -> Result<Vec<Match>, Stop> {
        let Some(id) = self.distribution().filter(|_| error.is_not_found()) else {
            let is_unknown = error.is_no_such_distribution() && self.target.text.starts_with("dt_");
            return Err(if is_unknown {
                Stop::NotFound(format!(
                    "no tenant has the id {}; cfadmin ls --tenants lists them{}",
                    self.target.text, account.options
                ))
            } else {
                error.into()
            });
        };
        let mut tenants = match account.client.tenants(&id, LIMIT).await {
            Ok(tenants) if tenants.is_empty() => return Err(unknown(account, &id, error).await),
            Ok(tenants) => tenants,
            Err(why) if why.is_not_found() => return Err(unknown(account, &id, error).await),
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
                Err(self.is_for_tenants(account, &tenants))
            }
            // The list was empty for another reason, and this only explains it.
            _ => Ok(()),
        }
    }

    /// Returns the distribution that the target names by its id. `None` if it names a tenant, or
    /// anything else.
    fn distribution(&self) -> Option<DistributionId> {
        self.target.text.parse::<DistributionId>().ok().filter(|id| !id.is_tenant())
    }

    fn choose(&self, account: &Session, found: Vec<Match>, several: Several) -> Result<Vec<Match>, Stop> {
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
            self.target.text,
            list(&found, &account.options)
        )))
    }

    fn is_for_tenants(&self, account: &Session, tenants: &[Match]) -> Stop {
        Stop::NotFound(format!(
            "{} is multi-tenant, and only its tenants have invalidations; name one by its id; there {}",
            self.target.text,
            list(tenants, &account.options)
        ))
    }

    fn no_enabled_tenant(&self, distribution: &DistributionId) -> Stop {
        Stop::NotFound(format!(
            "{:?} matches no enabled tenant of {distribution}; for a disabled one, give its id, name or domain",
            self.target.text
        ))
    }
}

/// Formats the first matches, one on each line, and the number of the others. `options` are those of the
/// connection.
fn list(matches: &[Match], options: &str) -> String {
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
        let _ = write!(text, "\n  … and {} more: see cfadmin ls --tenants{options}", matches.len() - most);
    }
    text
}
