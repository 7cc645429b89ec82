//! Parses a [`Config`] from variables and reports every problem at once.
//!
//! This module does not read the environment itself. The function passes its environment, the
//! command line passes its own with a few defaults added, and tests pass a list.

use std::{collections::BTreeMap, ffi::OsString, fmt, num::NonZeroUsize, ops::RangeInclusive, str::FromStr};

use http::Uri;

use crate::{
    cloudfront::Settings,
    cover::Budget,
    discover::{Search, Target},
    plan::Policy,
    site::{BucketName, Forms, OriginPath},
    time::milliseconds,
    versions::Skip,
    watch::{Glob, NotAGlob, Watch},
};

/// Defines a constant for the name of each variable, and [`VARIABLES`] with all of them.
macro_rules! variables {
    ($($visibility:vis $variable:ident = $name:literal;)*) => {
        $(#[doc = concat!("The name of the variable `", $name, "`.")] $visibility const $variable: &str = $name;)*

        /// The names of the function's own variables.
        pub const VARIABLES: &[&str] = &[$($variable),*];
    };
}

variables! {
    pub DISTRIBUTIONS = "INVALIDATOR_DISTRIBUTIONS";
    pub BUCKETS = "INVALIDATOR_BUCKETS";
    ORIGIN_PATH = "INVALIDATOR_ORIGIN_PATH";
    INCLUDE = "INVALIDATOR_INCLUDE";
    EXCLUDE = "INVALIDATOR_EXCLUDE";
    INDEX_DOCUMENT = "INVALIDATOR_INDEX_DOCUMENT";
    BARE_DIRECTORIES = "INVALIDATOR_BARE_DIRECTORIES";
    CLEAN_URLS = "INVALIDATOR_CLEAN_URLS";
    QUERY_STRINGS = "INVALIDATOR_QUERY_STRINGS";
    MAX_PATHS = "INVALIDATOR_MAX_PATHS";
    MAX_WILDCARDS = "INVALIDATOR_MAX_WILDCARDS";
    MONTHLY_PATHS = "INVALIDATOR_MONTHLY_PATHS";
    LIST_BUCKET = "INVALIDATOR_LIST_BUCKET";
    BUCKET_ALIASES = "INVALIDATOR_BUCKET_ALIASES";
    MANUAL = "INVALIDATOR_MANUAL";
    DRY_RUN = "INVALIDATOR_DRY_RUN";
    METRICS = "INVALIDATOR_METRICS";
    SKIP_UNCHANGED_SINCE = "INVALIDATOR_SKIP_UNCHANGED_SINCE";
    SKIP_NEW = "INVALIDATOR_SKIP_NEW";
}

/// The default of `INVALIDATOR_MAX_PATHS`: CloudFront accepts 150 paths or tags per second.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>
pub const DEFAULT_MAX_PATHS: usize = 150;

/// Maximum value of `INVALIDATOR_MAX_PATHS` and `INVALIDATOR_MAX_WILDCARDS`. CloudFront's older
/// quota, which Service Quotas still lists, allows a distribution 3,000 files in progress.
///
/// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>
pub const MOST_PATHS: usize = 3_000;

/// The default of `INVALIDATOR_MAX_WILDCARDS`. The same older quota allows 15 wildcards in
/// progress, and would never accept a request with more.
///
/// <https://docs.aws.amazon.com/general/latest/gr/cf_region.html>
pub const DEFAULT_MAX_WILDCARDS: usize = 15;

/// Maximum value of `INVALIDATOR_MONTHLY_PATHS`, which would cost five million dollars.
const MOST_MONTHLY_PATHS: usize = 1_000_000_000;

/// Variables of earlier versions. They have no effect, but setting them is no error, so existing
/// deployments keep working.
pub const RETIRED: [&str; 1] = ["INVALIDATOR_SITES_TTL"];

/// The settings from the `INVALIDATOR_*` variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// The policy for changes and manual events.
    pub policy: Policy,
    /// The distributions to invalidate, and how to find them.
    pub search: Search,
    /// Whether to stop after planning, without creating invalidations.
    pub dry_run: bool,
    /// Whether the function logs metrics.
    pub metrics: bool,
    /// Maximum number of paths to send in a month. `None` for no limit.
    pub monthly_paths: Option<NonZeroUsize>,
    /// The [`RETIRED`] variables that are set.
    pub retired: Vec<&'static str>,
}

/// All problems with a configuration, one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl Config {
    /// Parses the `INVALIDATOR_*` variables and ignores all others. An empty variable counts as
    /// absent, except for `INVALIDATOR_INDEX_DOCUMENT`: if that is empty, there is no index
    /// document.
    ///
    /// # Errors
    ///
    /// Returns every problem: invalid values, missing variables, and unknown names that begin with
    /// `INVALIDATOR_`.
    pub fn read<V: Into<OsString>>(variables: impl IntoIterator<Item = (V, V)>) -> Result<Self, Problems> {
        let mut reader = Reader::new(variables);
        let config = reader.config();
        reader.finish(config)
    }

    /// Parses the variables that `cfadmin` needs to call AWS: the configuration and the maximum
    /// number of attempts. `cfadmin` gets the other settings of the AWS SDK from the SDK itself.
    ///
    /// # Errors
    ///
    /// Returns the problems of [`Config::read`], and an invalid `AWS_MAX_ATTEMPTS`.
    pub fn of_caller<V: Into<OsString>>(
        variables: impl IntoIterator<Item = (V, V)>,
    ) -> Result<(Self, Option<u32>), Problems> {
        let mut reader = Reader::new(variables);
        let config = reader.config();
        let attempts = reader.max_attempts();
        reader.finish((config, attempts))
    }

    /// Parses the variables that the function needs: the configuration, and the `AWS_*` variables
    /// that Lambda sets for the AWS SDKs. A dry run that does not have to look up distributions
    /// calls no AWS service, so its settings are `None`.
    ///
    /// # Errors
    ///
    /// Returns the problems of [`Config::read`], and missing or invalid `AWS_*` variables.
    pub fn of_function<V: Into<OsString>>(
        variables: impl IntoIterator<Item = (V, V)>,
    ) -> Result<(Self, Option<Settings>), Problems> {
        let mut reader = Reader::new(variables);
        let config = reader.config();
        let settings = (!config.dry_run || config.search.needs_lookup()).then(|| reader.settings());
        reader.finish((config, settings))
    }
}

/// The variables, and the problems found in them so far.
struct Reader {
    variables: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader {
    fn new<V: Into<OsString>>(variables: impl IntoIterator<Item = (V, V)>) -> Self {
        let text = |text: V| text.into().to_string_lossy().into_owned();
        let variables = variables.into_iter().map(|(name, value)| (text(name), text(value)));
        let is_read = |name: &str| name.starts_with("INVALIDATOR_") || name.starts_with("AWS_");
        let mut reader = Self { variables: BTreeMap::new(), problems: Vec::new() };
        reader.variables.extend(variables.filter(|(name, _)| is_read(name)));
        reader
    }

    fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }

    fn config(&mut self) -> Config {
        for name in self.variables.keys() {
            let is_known = VARIABLES.iter().chain(&RETIRED).any(|known| known == name);
            if name.starts_with("INVALIDATOR_") && !is_known {
                self.problems
                    .push(format!("unknown variable {name}; known variables are {}", VARIABLES.join(", ")));
            }
        }
        let problems = self.problems.len();
        let distributions = self.list::<Target>(DISTRIBUTIONS);
        let origin_path = self.value::<OriginPath>(ORIGIN_PATH);
        if distributions.is_empty() && origin_path.is_some() && self.problems.len() == problems {
            self.problems.push(format!(
                "{ORIGIN_PATH} needs {DISTRIBUTIONS}: without it, the distributions' own origin paths apply"
            ));
        }
        let index_document = self.variables.get(INDEX_DOCUMENT);
        let index_document = index_document.map_or("index.html", |name| name.trim()).to_owned();
        if index_document.contains('/') {
            self.problems.push(format!(
                "{INDEX_DOCUMENT}={index_document:?} is not a document's name: it has a \"/\""
            ));
        }
        let forms = Forms {
            index_document,
            bare_directories: self.flag(BARE_DIRECTORIES),
            clean_urls: self.flag(CLEAN_URLS),
            query_strings: self.choice(QUERY_STRINGS),
        };
        let items = self.number(MAX_PATHS, 1..=MOST_PATHS).unwrap_or(DEFAULT_MAX_PATHS);
        let wildcards = self.number(MAX_WILDCARDS, 1..=MOST_PATHS).unwrap_or(DEFAULT_MAX_WILDCARDS);
        let include = self.globs(INCLUDE);
        let watch = Watch {
            buckets: self.list::<BucketName>(BUCKETS).into_iter().map(String::from).collect(),
            include: (!include.is_empty()).then_some(include),
            exclude: self.globs(EXCLUDE),
        };
        let manual = self.choice(MANUAL).unwrap_or(true);
        let skip = Skip { unchanged_since: self.time(SKIP_UNCHANGED_SINCE), new: self.flag(SKIP_NEW) };
        let metrics = self.choice(METRICS).unwrap_or(true);
        let monthly_paths = self.number(MONTHLY_PATHS, 0..=MOST_MONTHLY_PATHS).and_then(NonZeroUsize::new);
        if monthly_paths.is_some() && !metrics {
            self.problems.push(format!(
                "{MONTHLY_PATHS} needs metrics, which count the paths of the month: remove {METRICS}=false, or set \
                 {MONTHLY_PATHS}=0 for no limit"
            ));
        }
        Config {
            policy: Policy {
                watch,
                budget: Budget { items, wildcards },
                manual,
                list_bucket: self.flag(LIST_BUCKET),
                skip,
            },
            search: Search {
                distributions,
                origin_path: origin_path.unwrap_or_default(),
                forms,
                aliases: self.list(BUCKET_ALIASES),
            },
            dry_run: self.flag(DRY_RUN),
            metrics,
            monthly_paths,
            retired: RETIRED.into_iter().filter(|name| self.variables.contains_key(*name)).collect(),
        }
    }

    fn settings(&mut self) -> Settings {
        let endpoint_url = self.endpoint_url("AWS_ENDPOINT_URL_CLOUDFRONT");
        let sqs_endpoint_url = self.endpoint_url("AWS_ENDPOINT_URL_SQS");
        let s3_endpoint_url = self.endpoint_url("AWS_ENDPOINT_URL_S3");
        let cloudwatch_endpoint_url = self.endpoint_url("AWS_ENDPOINT_URL_CLOUDWATCH");
        let [key_id, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| self.required(name));
        let mut settings = Settings::new(&key_id, &secret, self.get("AWS_SESSION_TOKEN"));
        if let Some(region) = self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION")) {
            region.clone_into(&mut settings.region);
        }
        settings.endpoint_url = endpoint_url;
        settings.sqs_endpoint_url = sqs_endpoint_url;
        settings.s3_endpoint_url = s3_endpoint_url;
        settings.cloudwatch_endpoint_url = cloudwatch_endpoint_url;
        settings.use_fips = self.flag("AWS_USE_FIPS_ENDPOINT");
        settings.use_dual_stack = self.flag("AWS_USE_DUALSTACK_ENDPOINT");
        settings.max_attempts = self.max_attempts();
        settings
    }

    /// Parses the endpoint of a service, or else the one for all services.
    fn endpoint_url(&mut self, of_service: &str) -> Option<String> {
        if self.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            return None;
        }
        let name = [of_service, "AWS_ENDPOINT_URL"].into_iter().find(|name| self.get(name).is_some())?;
        let url = self.get(name)?.to_owned();
        if !is_url(&url) {
            let problem =
                format!("{name}={url:?} is not a URL: one looks like https://cloudfront.amazonaws.com");
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        Some(url)
    }

    fn max_attempts(&mut self) -> Option<u32> {
        self.number("AWS_MAX_ATTEMPTS", 1..=100).and_then(|most| most.try_into().ok())
    }

    /// Returns the variable's trimmed value, or `None` if it is absent or empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        let value = self.get(name).map(str::to_owned);
        if value.is_none() {
            self.problems.push(format!("{name} is not set: Lambda sets it; elsewhere, set it yourself"));
        }
        value.unwrap_or_default()
    }

    fn value<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.get(name)?.to_owned();
        self.parsed(name, &value)
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, value: &str) -> Option<T> {
        value.parse().map_err(|why| self.problems.push(format!("{name}: {why}"))).ok()
    }

    fn flag(&mut self, name: &str) -> bool {
        self.choice(name).unwrap_or_default()
    }

    /// Parses a variable that is `true` or `false`. `None` if it is absent or invalid.
    fn choice(&mut self, name: &str) -> Option<bool> {
        match self.get(name)?.to_ascii_lowercase().as_str() {
            "false" => Some(false),
            "true" => Some(true),
            other => {
                let problem = format!("{name}={other:?} is neither \"true\" nor \"false\"");
                self.problems.push(problem);
                None
            }
        }
    }

    /// Parses a time in UTC, or a day, which means its beginning. Returns milliseconds since 1970.
    fn time(&mut self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        let time = milliseconds(value).or_else(|| milliseconds(&format!("{value}T00:00:00Z")));
        if time.is_none() {
            let problem = format!(
                "{name}={value:?} is not a time in UTC: one looks like 2026-11-25T09:30:00Z or 2026-11-25"
            );
            self.problems.push(problem);
        }
        time
    }

    fn number(&mut self, name: &str, range: RangeInclusive<usize>) -> Option<usize> {
        let value = self.get(name)?;
        let number = value.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let problem = format!("{name}={value:?} is not a whole number from {least} to {most}");
            self.problems.push(problem);
        }
        number
    }

    /// Parses a comma-separated list, in order and without duplicates.
    fn list<T: FromStr<Err: fmt::Display> + PartialEq>(&mut self, name: &str) -> Vec<T> {
        let text = self.get(name).unwrap_or_default().to_owned();
        let mut list = Vec::new();
        for value in text.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            if let Some(value) = self.parsed(name, value)
                && !list.contains(&value)
            {
                list.push(value);
            }
        }
        list
    }

    /// Parses a comma-separated list of globs.
    fn globs(&mut self, name: &str) -> Vec<Glob> {
        let text = self.get(name).unwrap_or_default().to_owned();
        let (globs, wrong): (Vec<_>, Vec<_>) = Glob::list(&text).partition(Result::is_ok);
        let wrong = wrong.into_iter().filter_map(Result::err);
        self.problems.extend(wrong.map(|why: NotAGlob| format!("{name}: {why}")));
        globs.into_iter().filter_map(Result::ok).collect()
    }
}

/// Returns whether the SDK can use the text as an endpoint: an HTTP or HTTPS URL with a host.
fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|url| {
        let known = url.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
        known && url.host().is_some_and(|host| !host.is_empty())
    })
}
