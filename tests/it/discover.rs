//! The age limits for the list of distributions. The tests set the time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{
    cloudfront::{Client, Settings},
    config::Config,
    discover::{BRIDGED, FRESH, Finder, Found},
    event,
    local::{Account, Fault, Options, Server},
    plan::{Ignored, Plan, plan},
    site::Unserved,
};
use serde_json::{Value, json};

use crate::{
    chaos::Dice,
    function::refusal,
    sites::{DOMAIN, account, changed, plain, puts, sent, with},
    support::{Answer, narrowed},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The age at which a list is too old to be reused.
const LATER: Duration = Duration::from_secs(11);

/// A CloudFront, and the finder that looks up its distributions.
pub(crate) struct Scene {
    pub(crate) cloudfront: Server,
    client: Client,
    config: Config,
    finder: Finder,
    begun: SystemTime,
}

impl Scene {
    pub(crate) async fn new(account: Account) -> Self {
        let options = Options { distributions: Vec::new(), account, ..Options::default() };
        let cloudfront = Server::start(options).await.expect("a CloudFront");
        let mut settings = Settings::local(&cloudfront.endpoint_url());
        settings.max_attempts = Some(1);
        let client = Client::new(settings);
        let config = Config::read([("", ""); 0]).expect("a configuration");
        let finder = Finder::new(config.search.clone());
        Self { cloudfront, client, config, finder, begun: SystemTime::now() }
    }

    /// Looks up the distributions for a put in a bucket, as if `after` had passed since the start,
    /// and plans the invalidations.
    pub(crate) async fn at(&self, after: Duration, bucket: &str, key: &str) -> (Found, Plan) {
        let batch = event::read(puts(bucket, &[key], "1").as_bytes(), "invocation");
        let deadline = Instant::now() + 5 * SECOND;
        let (client, now) = (Some(&self.client), self.begun + after);
        let found = self.finder.find(&batch, &self.config.policy.watch, client, deadline, now).await;
        let plan = plan(&batch, &self.config.policy, &found.sites);
        (found, plan)
    }

    /// Returns the paths that are planned for a put, each with its distribution, as if `after` had
    /// passed since the start.
    pub(crate) async fn paths(&self, after: Duration, key: &str) -> Vec<String> {
        let (_, plan) = self.at(after, "site", key).await;
        let paths = |one: &cloudfront_invalidator::plan::Invalidation| -> Vec<String> {
            one.paths().map(|path| format!("{}{path}", one.distribution)).collect()
        };
        plan.invalidations.iter().flat_map(paths).collect()
    }

    fn reads(&self) -> usize {
        self.cloudfront.reads().len()
    }

    fn fail(&self, operation: &'static str) {
        self.cloudfront.inject_read(operation, 0, refusal(503, "ServiceUnavailable", "internal"));
    }
}

fn with_path(id: &str, path: &str) -> Value {
    changed(id, DOMAIN, |config| config["Origins"]["Items"][0]["OriginPath"] = path.into())
}

/// A configuration change: its name, the distributions before and after it, a key, and the paths
/// that are planned for this key before and after it.
type Change<'a> = (&'a str, Vec<Value>, Vec<Value>, &'a str, &'a [&'a str], &'a [&'a str]);

#[tokio::test]
async fn configuration_changes_take_effect_within_ten_seconds() {
    let disabled = || changed("E2", DOMAIN, |config| config["Enabled"] = false.into());
    let media = || {
        changed("E1", DOMAIN, |config| {
            config["DefaultCacheBehavior"]["TargetOriginId"] = "elsewhere".into();
            config["CacheBehaviors"] = json!({"Quantity": 1, "Items": [{
                "PathPattern": "media/*", "TargetOriginId": "o",
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            }]});
        })
    };
    let changes: [Change; 5] = [
        (
            "created",
            vec![plain("E1", DOMAIN)],
            vec![plain("E1", DOMAIN), plain("E2", DOMAIN)],
            "a",
            &["E1/a"],
            &["E1/a", "E2/a"],
        ),
        ("enabled", vec![disabled()], vec![plain("E2", DOMAIN)], "a", &[], &["E2/a"]),
        ("switched", vec![with_path("E1", "/v1")], vec![with_path("E1", "/v2")], "v2/a", &[], &["E1/a"]),
        (
            "a behavior",
            vec![plain("E1", "other.example.com")],
            vec![media()],
            "media/a",
            &[],
            &["E1/media/a"],
        ),
        (
            "a root",
            vec![plain("E1", DOMAIN)],
            vec![changed("E1", DOMAIN, |config| config["DefaultRootObject"] = "a".into())],
            "a",
            &["E1/a"],
            &["E1/", "E1/a"],
        ),
    ];
    for (what, before, after, key, paths_before, paths_after) in changes {
        let scene = Scene::new(account(&before)).await;
        assert_eq!(scene.paths(Duration::ZERO, key).await, paths_before, "{what}");
        scene.cloudfront.change(account(&after));
        assert_eq!(scene.paths(LATER, key).await, paths_after, "{what}");
    }
}

#[tokio::test]
async fn a_list_is_reused_for_less_than_ten_seconds() {
    let scene = Scene::new(account(&[plain("E1", DOMAIN)])).await;
    scene.paths(Duration::ZERO, "a").await;
    assert_eq!(scene.cloudfront.reads(), ["ListDistributions", "GetDistributionConfig"]);
    scene.paths(9 * SECOND, "b").await;
    assert_eq!(scene.reads(), 2);
    // The ETag shows that the configuration is unchanged, so the function does not read it again.
    scene.paths(LATER, "c").await;
    assert_eq!(scene.cloudfront.reads()[2..], ["ListDistributions"]);
    // After the clock was set back, the list's age is unknown, so the function requests a new list.
    scene.paths(Duration::ZERO, "d").await;
    assert_eq!(scene.cloudfront.reads()[3..], ["ListDistributions"]);
    // Emulators send no ETags, so the function reads the configuration with every list.
    let mut without = account(&[plain("E1", DOMAIN)]);
    without.without_etags = true;
    scene.cloudfront.change(without);
    for after in [22, 33] {
        let before = scene.reads();
        scene.paths(after * SECOND, "e").await;
        assert_eq!(scene.cloudfront.reads()[before..], ["ListDistributions", "GetDistributionConfig"]);
    }
}

#[tokio::test]
async fn cache_policies_are_read_with_each_list_that_needs_them() {
    let own = |id: &str| {
        changed(id, DOMAIN, |config| config["DefaultCacheBehavior"]["CachePolicyId"] = "own".into())
    };
    let policy = |strings: &str| {
        json!({"CachePolicyList": {"Items": [{"Type": "custom", "CachePolicy": {"Id": "own", "CachePolicyConfig": {
        "Name": "own", "MinTTL": 0, "ParametersInCacheKeyAndForwardedToOrigin": {
            "EnableAcceptEncodingGzip": false,
            "HeadersConfig": {"HeaderBehavior": "none"},
            "CookiesConfig": {"CookieBehavior": "none"},
            "QueryStringsConfig": {"QueryStringBehavior": strings},
        }}}}]}})
    };
    let with_policy = |strings: &str| account(&[own("E1"), own("E2"), policy(strings)]);
    let scene = Scene::new(with_policy("none")).await;
    assert_eq!(scene.paths(Duration::ZERO, "a").await, ["E1/a", "E2/a"]);
    let listed = |reads: &[&str]| reads.iter().filter(|read| **read == "ListCachePolicies").count();
    assert_eq!(listed(&scene.cloudfront.reads()), 1, "once for both");
    // A change of the policy does not change the distribution's ETag.
    scene.cloudfront.change(with_policy("all"));
    assert_eq!(scene.paths(LATER, "a").await, ["E1/a*", "E2/a*"]);
    assert_eq!(listed(&scene.cloudfront.reads()), 2);
    // A policy that is not in the list may have query strings in the cache key.
    scene.cloudfront.change(account(&[own("E1")]));
    assert_eq!(scene.paths(2 * LATER, "a").await, ["E1/a*"]);
    // If the policies cannot be listed, the message waits for E1, and E2 is purged.
    scene.cloudfront.change(account(&[own("E1"), plain("E2", DOMAIN)]));
    scene.fail("ListCachePolicies");
    let (found, plan) = scene.at(3 * LATER, "site", "a").await;
    let unread: Vec<&[usize]> = plan.unread.iter().map(|(_, messages)| &**messages).collect();
    assert_eq!((plan.invalidations.len(), &plan.waiting[..], &unread[..]), (1, &[][..], &[&[0][..]][..]));
    assert!(found.failure.is_some() && found.bridged.is_none());
    // The function does not list the policies if no distribution needs them.
    scene.cloudfront.change(account(&[plain("E2", DOMAIN)]));
    let before = listed(&scene.cloudfront.reads());
    scene.paths(4 * LATER, "a").await;
    assert_eq!(listed(&scene.cloudfront.reads()), before);
}

#[tokio::test]
async fn an_old_list_bridges_failed_lookups_for_fifteen_minutes() {
    let scene = Scene::new(account(&[with_path("E1", "/live")])).await;
    scene.paths(Duration::ZERO, "live/a").await;
    scene.cloudfront.change(account(&[with_path("E1", "/live"), plain("E2", DOMAIN)]));

    scene.fail("ListDistributions");
    let (found, plan) = scene.at(LATER, "site", "live/b").await;
    assert!(found.bridged.is_some_and(|age| (FRESH..LATER + SECOND).contains(&age)));
    assert!(found.failure.is_some_and(|error| error.is_busy()));
    assert_eq!((plan.invalidations.len(), &plan.waiting[..]), (1, &[][..]), "planned with the old list");
    // Just after a failure, the function does not request the list again.
    let before = scene.reads();
    let (found, plan) = scene.at(LATER + SECOND, "site", "b").await;
    assert_eq!((scene.reads(), found.bridged.is_some()), (before, true));
    // No change is dropped because of the old list.
    assert_eq!((&plan.waiting[..], &plan.ignored[..]), (&[0][..], &[][..]));
    let (_, plan) = scene.at(LATER + SECOND, "unknown", "b").await;
    assert_eq!((&plan.waiting[..], &plan.ignored[..]), (&[0][..], &[][..]));

    scene.fail("ListDistributions");
    let (found, plan) = scene.at(Duration::from_secs(899), "site", "live/b").await;
    assert_eq!((found.bridged.is_some(), plan.waiting.len()), (true, 0));
    scene.fail("ListDistributions");
    let (found, plan) = scene.at(BRIDGED + FRESH, "site", "live/b").await;
    assert!(found.bridged.is_none() && found.failure.is_some());
    assert_eq!((plan.invalidations.len(), &plan.waiting[..]), (0, &[0][..]));
    // The first lookup that succeeds replaces the old list.
    let (found, plan) = scene.at(BRIDGED + 2 * FRESH, "site", "b").await;
    assert_eq!((found.failure, plan.invalidations.len()), (None, 1));
    assert_eq!(plan.invalidations[0].distribution.as_str(), "E2");
    let (_, plan) = scene.at(BRIDGED + 2 * FRESH, "unknown", "b").await;
    assert_eq!(plan.ignored, [(0, Ignored::Unserved(Unserved::Bucket))]);
}

#[tokio::test]
async fn a_lookup_that_hangs_ends_within_ten_seconds() {
    let scene = Scene::new(account(&[plain("E1", DOMAIN), plain("E2", DOMAIN)])).await;
    scene.cloudfront.inject_read("GetDistributionConfig", 0, Fault::Hang);
    let begun = Instant::now();
    let (found, plan) = scene.at(Duration::ZERO, "site", "a").await;
    assert!(begun.elapsed() < FRESH);
    assert_eq!((plan.invalidations.len(), plan.unread.len()), (1, 1));
    assert!(found.failure.is_some_and(|error| error.is_unreachable()));
}

#[tokio::test]
async fn a_deleted_distribution_discards_the_list() {
    let (cloudfront, mut function) = with(account(&[plain("E1", DOMAIN), plain("E2", DOMAIN)]), &[]).await;
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    cloudfront.change(account(&[plain("E2", DOMAIN)]));
    assert_eq!(function.invoke(puts("site", &["b"], "2")).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["error_type"] == "NoSuchDistribution").await;
    assert_eq!(line["distribution"], "E1");
    // The message for E1 comes again, and E1 is no longer listed.
    assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["distributions"].is_array()).await;
    assert_eq!(line["distributions"], json!(["E1"]));
    assert_eq!(cloudfront.created(), 3, "E2 has one invalidation of b");
    // A distribution that is deleted after it was listed serves nobody.
    let (cloudfront, mut function) = with(account(&[plain("E1", DOMAIN), plain("E2", DOMAIN)]), &[]).await;
    cloudfront.inject_read("GetDistributionConfig", 0, refusal(404, "NoSuchDistribution", "gone"));
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    assert_eq!(sent(&cloudfront).len(), 1);
}

#[tokio::test]
async fn the_use_of_an_old_list_is_logged() {
    let (cloudfront, mut function) =
        with(account(&[plain("E1", DOMAIN)]), &[("AWS_MAX_ATTEMPTS", "1")]).await;
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    // The list is too old by then, and the next request for it fails.
    cloudfront.inject_read("ListDistributions", 0, refusal(403, "AccessDenied", "no"));
    cloudfront.change(account(&[plain("E1", DOMAIN), plain("E2", "other.s3.amazonaws.com")]));
    tokio::time::sleep(FRESH).await;
    assert_eq!(function.invoke(puts("site", &["b"], "2")).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["list_age_seconds"].is_number()).await;
    assert_eq!((&line["level"], &line["waiting"]), (&json!("WARN"), &json!(0)));
    let message = line["message"].as_str().expect("a message");
    assert!(message.starts_with("distribution lookup failed; using the list from 1"), "{message}");
    function.logged(|line| line["OldListings"] == 1).await;
    let Answer::Response(_) = function.invoke(puts("site", &["c"], "3")).await else { panic!("failed") };
}

/// The distributions of an account: the origin path of each, and whether it is enabled.
type Version = [(&'static str, bool); 3];

fn any_version(dice: &mut Dice) -> Version {
    let paths = ["", "/live", "/v2"];
    [(); 3].map(|()| (paths[dice.of(3)], dice.happens(700)))
}

/// Returns the paths to purge for a put of a key, each with its distribution.
fn served(version: &Version, key: &str) -> BTreeSet<String> {
    let enabled = version.iter().enumerate().filter(|(_, (_, enabled))| *enabled);
    let below = |(number, (path, _)): (usize, &(&str, bool))| {
        let path = path.trim_start_matches('/');
        let rest = if path.is_empty() { Some(key) } else { key.strip_prefix(path)?.strip_prefix('/') };
        rest.map(|rest| format!("E{number}/{rest}"))
    };
    enabled.filter_map(below).collect()
}

/// Law 8: no change is dropped because of a list that is more than ten seconds old, however the
/// configurations change and whichever lookups fail. A list that bridges a failure drops none.
#[tokio::test]
async fn no_change_is_dropped_because_of_an_old_list() {
    let mut dice = Dice(11);
    let (mut waited, mut bridged, mut dropped) = (0, 0, 0);
    for _ in 0..20 {
        let as_account = |version: &Version| {
            let one = |(number, (path, enabled)): (usize, &(&str, bool))| {
                changed(&format!("E{number}"), DOMAIN, |config| {
                    config["Origins"]["Items"][0]["OriginPath"] = (*path).into();
                    config["Enabled"] = (*enabled).into();
                    config["DefaultRootObject"] = "".into();
                })
            };
            account(&version.iter().enumerate().map(one).collect::<Vec<_>>())
        };
        let mut versions = vec![(Duration::ZERO, any_version(&mut dice))];
        let scene = Scene::new(as_account(&versions[0].1)).await;
        let mut now = Duration::ZERO;
        for _ in 0..40 {
            now += [100, 3_000, 9_000, 12_000, 300_000].map(Duration::from_millis)[dice.of(5)];
            if dice.happens(300) {
                let version = any_version(&mut dice);
                scene.cloudfront.change(as_account(&version));
                versions.push((now, version));
            }
            if dice.happens(400) {
                scene.fail(["ListDistributions", "ListDistributions", "GetDistributionConfig"][dice.of(3)]);
            }
            let key = ["live/a", "v2/b", "c"][dice.of(3)];
            let (found, plan) = scene.at(now, "site", key).await;
            let purged: BTreeSet<String> = plan
                .invalidations
                .iter()
                .flat_map(|one| one.paths().map(|path| format!("{}{path}", one.distribution)))
                .collect();
            let oldest = if found.bridged.is_some() { BRIDGED } else { FRESH };
            let ended = |index: usize| versions.get(index + 1).map_or(Duration::MAX, |(next, _)| *next);
            let current =
                (0..versions.len()).filter(|index| ended(*index).saturating_add(oldest + SECOND) >= now);
            let mut expected = current.map(|index| served(&versions[index].1, key));
            let is_done = plan.waiting.is_empty() && plan.unread.is_empty();
            assert!(
                expected.any(|expected| if is_done {
                    expected == purged
                } else {
                    purged.is_subset(&expected)
                }),
                "{key} at {now:?}: {purged:?}, done {is_done}, of {versions:?}"
            );
            assert!(found.bridged.is_none() || plan.ignored.is_empty(), "an old list dropped a change");
            assert!(found.bridged.is_none_or(|age| age < BRIDGED));
            waited += usize::from(!is_done);
            bridged += usize::from(found.bridged.is_some());
            dropped += plan.ignored.len();
        }
    }
    assert!(waited > 20 && bridged > 20 && dropped > 20, "{waited} {bridged} {dropped}");
}
