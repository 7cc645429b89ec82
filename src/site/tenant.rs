//! Distribution tenants, and their sites.

use std::{collections::HashMap, num::NonZeroU64, sync::Arc};

use super::{BucketAlias, Distribution, DistributionId, Forms, Serving, Site};

/// A distribution tenant as CloudFront describes it: a part of a multi-tenant distribution with
/// domains, a cache and invalidations of its own.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/distribution-config-options.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant's id.
    pub id: DistributionId,
    /// The multi-tenant distribution whose configuration it uses.
    pub distribution: Arc<DistributionId>,
    /// The name that its owner gave it.
    pub name: Box<str>,
    /// The domains under which viewers reach it.
    pub domains: Vec<String>,
    /// Whether it answers viewers.
    pub enabled: bool,
    /// The status: `Deployed` or `InProgress`.
    pub status: Box<str>,
    /// The version of its configuration. `None` if CloudFront's answer has none.
    pub etag: Option<Box<str>>,
    /// The time of its last change, in milliseconds since 1970. `None` if CloudFront does not say.
    pub modified: Option<NonZeroU64>,
    /// The values of its parameters, by name. `None` before they are read, because the list of
    /// tenants does not include them.
    pub parameters: Option<Vec<(String, String)>>,
}

impl Tenant {
    /// Returns whether `name` is the tenant's id, its name, or one of its domains. Ignores case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let names = [self.id.as_str(), &self.name];
        names
            .into_iter()
            .chain(self.domains.iter().map(|one| &**one))
            .any(|one| one.eq_ignore_ascii_case(name))
    }
}

/// The values of parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    own: &'a [(String, String)],
    defaults: &'a [(String, String)],
}

impl<'a> Values<'a> {
    /// Returns the value of the parameter with this name: the tenant's own, or else the default.
    pub(super) fn of(self, name: &str) -> Option<&'a str> {
        let mut all = self.own.iter().chain(self.defaults);
        all.find(|(one, _)| one == name).map(|(_, value)| &**value)
    }
}

impl Distribution {
    /// Returns the distribution as viewers of a tenant reach it: with the tenant's id and domains, and
    /// with values in place of parameters. `defaults` are the default values. An origin with a
    /// parameter that has no value stays as it is.
    #[must_use]
    pub fn of_tenant(&self, tenant: &Tenant, defaults: &[(String, String)]) -> Self {
        let values = Values { own: tenant.parameters.as_deref().unwrap_or_default(), defaults };
        let mut filled = Self { id: tenant.id.clone(), aliases: tenant.domains.clone(), ..self.clone() };
        for origin in &mut filled.origins {
            if let Some(with_values) = origin.filled(|name| values.of(name)) {
                *origin = with_values;
            }
        }
        filled
    }
}

impl Site {
    /// Creates the sites of the tenants of a distribution. `defaults` are the default values of its
    /// parameters. Leaves out tenants whose parameters have not been read, if its origins depend on
    /// those.
    #[must_use]
    pub fn of_tenants(
        distribution: &Distribution,
        defaults: &[(String, String)],
        tenants: &[Tenant],
        aliases: &[BucketAlias],
        forms: Forms,
    ) -> Vec<Arc<Self>> {
        let common = Self::of(distribution, aliases, forms);
        let has_placeholders = distribution.has_placeholders();
        // Tenants that serve the same objects in the same way share one `Serving`.
        let mut known: HashMap<Arc<Serving>, usize> = HashMap::new();
        let parent = Arc::new(distribution.id.clone());
        let mut found = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let serving = match &tenant.parameters {
                _ if !has_placeholders => Arc::clone(&common.serving),
                Some(own) => {
                    let values = Values { own, defaults };
                    let sources = Self::sources(distribution, aliases, Some(values)).0;
                    Arc::new(Serving { sources, ..(*common.serving).clone() })
                }
                None => continue,
            };
            let serving = match known.get_key_value(&serving) {
                Some((serving, _)) => Arc::clone(serving),
                None => serving,
            };
            *known.entry(Arc::clone(&serving)).or_default() += 1;
            found.push((tenant, serving));
        }
        let site = |(tenant, serving): (&Tenant, Arc<Serving>)| {
            Arc::new(Self {
                distribution: tenant.id.clone(),
                parent: Some(Arc::clone(&parent)),
                peers: known.get(&serving).copied().unwrap_or(1),
                name: tenant.domains.first().map(|domain| domain.as_str().into()),
                rewrites: Arc::clone(&common.rewrites),
                has_cache_tags: common.has_cache_tags,
                caching: common.caching.map(|caching| caching.of_tenant(tenant.modified)),
                serving,
            })
        };
        found.into_iter().map(site).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::samples;

    fn distribution(domain: &str, path: &str) -> Distribution {
        use samples::{behavior, origin};
        let origins = vec![origin("api", "api.example.com", ""), origin("pages", domain, path)];
        let behaviors = vec![behavior(Some("api/*"), "api"), behavior(None, "pages")];
        Distribution { multi_tenant: true, ..samples::distribution(origins, behaviors) }
    }

    fn tenant(number: usize, parameters: Option<&[(&str, &str)]>) -> Tenant {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Tenant {
            id: format!("dt_{number}").parse().expect("an id"),
            distribution: Arc::new("E1".parse().expect("an id")),
            name: format!("tenant-{number}").into(),
            domains: vec![format!("t{number}.example.com")],
            enabled: true,
            status: "Deployed".into(),
            etag: None,
            modified: None,
            parameters: parameters.map(|all| all.iter().map(owned).collect()),
        }
    }

    fn forms() -> Forms {
        Forms {
            index_document: String::new(),
            bare_directories: false,
            clean_urls: false,
            query_strings: None,
        }
    }

    /// Returns the paths of an object for each tenant, "-" if it does not serve the object.
    fn paths(distribution: &Distribution, tenants: &[Tenant], bucket: &str, key: &str) -> Vec<String> {
        let defaults = [("place".to_owned(), "common".to_owned())];
        let sites = Site::of_tenants(distribution, &defaults, tenants, &[], forms());
        let shown = |site: &Arc<Site>| match site.paths(bucket, key.as_bytes()) {
            Ok(paths) => paths.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>().join(" "),
            Err(_) => "-".to_owned(),
        };
        sites.iter().map(|site| format!("{} {}", site.distribution, shown(site))).collect()
    }

    #[test]
    fn parameters_decide_which_objects_a_tenant_serves() {
        let tenants = [
            tenant(1, Some(&[("place", "one")])),
            tenant(2, Some(&[])),
            tenant(3, Some(&[("Place", "one"), ("place", "{{place}}")])),
            tenant(4, None),
        ];
        let in_path = distribution("site.s3.amazonaws.com", "/{{place}}/live");
        assert_eq!(paths(&in_path, &tenants, "site", "one/live/a"), ["dt_1 /a", "dt_2 -", "dt_3 -"]);
        assert_eq!(paths(&in_path, &tenants, "site", "common/live/a"), ["dt_1 -", "dt_2 /a", "dt_3 -"]);
        assert_eq!(paths(&in_path, &tenants, "other", "one/live/a"), ["dt_1 -", "dt_2 -", "dt_3 -"]);
        let in_domain = distribution("x-{{ place }}.s3.amazonaws.com", "");
        assert_eq!(paths(&in_domain, &tenants, "x-one", "a"), ["dt_1 /a", "dt_2 -", "dt_3 -"]);
        assert_eq!(paths(&in_domain, &tenants, "x-one", "api/a"), ["dt_1 -", "dt_2 -", "dt_3 -"]);
        let path_style = distribution("s3.eu-west-1.amazonaws.com", "/{{place}}/live");
        assert_eq!(paths(&path_style, &tenants, "one", "live/a"), ["dt_1 /a", "dt_2 -", "dt_3 -"]);
        for unknown in ["/{{other}}", "/{{place", "/{{}}"] {
            let unfilled = distribution("site.s3.amazonaws.com", unknown);
            let expected = ["dt_1 -", "dt_2 -", "dt_3 -"];
            assert_eq!(paths(&unfilled, &tenants, "site", &format!("{}/a", &unknown[1..])), expected);
        }
        let plain = distribution("site.s3.amazonaws.com", "/live");
        assert_eq!(paths(&plain, &tenants, "site", "live/a"), ["dt_1 /a", "dt_2 /a", "dt_3 /a", "dt_4 /a"]);
    }

    #[test]
    fn buckets_that_parameters_name_may_be_any() {
        let buckets = |domain, path| {
            let buckets = distribution(domain, path).buckets(&[])?;
            Some(buckets.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(buckets("site.s3.amazonaws.com", "/{{place}}").as_deref(), Some("site"));
        assert_eq!(buckets("s3.eu-west-1.amazonaws.com", "/site/{{place}}").as_deref(), Some("site"));
        assert_eq!(buckets("s3.eu-west-1.amazonaws.com", "/x-{{place}}/live"), None);
        assert_eq!(buckets("{{place}}.s3.amazonaws.com", ""), None);
        assert_eq!(buckets("{{place}}", ""), None);
    }

    #[test]
    fn tenants_that_serve_the_same_are_peers() {
        let one = Some(&[("place", "one")][..]);
        let tenants = [tenant(1, one), tenant(2, Some(&[("place", "two")])), tenant(3, one)];
        let peers = |distribution: &Distribution| -> Vec<usize> {
            let sites = Site::of_tenants(distribution, &[], &tenants, &[], forms());
            let shared = sites.iter().filter(|site| std::ptr::eq(site.serving(), sites[0].serving()));
            assert_eq!(shared.count(), sites[0].peers, "they share one value");
            sites.iter().map(|site| site.peers).collect()
        };
        assert_eq!(peers(&distribution("site.s3.amazonaws.com", "/{{place}}")), [2, 1, 2]);
        assert_eq!(peers(&distribution("site.s3.amazonaws.com", "/live")), [3, 3, 3]);
    }
}
