//! Sends every case of `data/cases.json` to the function's binary, and checks the paths that
//! CloudFront receives.

use std::collections::BTreeMap;

use cloudfront_invalidator::path::Item;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    sites::{account, paths, plain},
    support::{Function, cloudfront, eventbridge, form_encoded, s3_record, sqs},
};

#[derive(Deserialize)]
struct Cases {
    keys: Vec<KeyCase>,
    configured: Vec<ConfiguredCase>,
    typed: Vec<TypedCase>,
    endpoints: Vec<EndpointCase>,
}

#[derive(Deserialize)]
struct EndpointCase {
    endpoint: String,
    key: String,
    paths: Vec<String>,
    why: String,
}

#[derive(Deserialize)]
struct KeyCase {
    key: String,
    notification: String,
    eventbridge: Option<String>,
    paths: Vec<String>,
    why: String,
}

#[derive(Deserialize)]
struct ConfiguredCase {
    config: BTreeMap<String, String>,
    keys: Vec<String>,
    paths: Vec<String>,
    why: String,
}

#[derive(Deserialize)]
struct TypedCase {
    typed: String,
    item: Option<String>,
    #[serde(default)]
    error: bool,
    why: String,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("data/cases.json")).expect("the cases")
}

/// Sends `events` to one function, one after another, and returns the paths of each invalidation.
async fn paths_of(variables: &[(&str, &str)], events: &[Value]) -> Vec<Vec<String>> {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = Function::start(&cloudfront.endpoint_url(), variables).await;
    for event in events {
        function.invoke(event.to_string()).await;
    }
    cloudfront.recorded().into_iter().map(|recorded| recorded.paths).collect()
}

#[tokio::test]
async fn keys_become_the_expected_paths() {
    let cases = cases().keys;
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let sequencer = number.to_string();
        events.push(json!({"Records": [s3_record(&case.notification, &sequencer)]}));
        // S3 may escape more or fewer characters than it has to. Only the decoded key counts.
        let again = form_encoded(&percent_decoded(&case.notification));
        events.push(json!({"Records": [s3_record(&again, &format!("{sequencer}-again"))]}));
        let raw = case.eventbridge.clone().unwrap_or_else(|| raw(case));
        events.push(eventbridge(&raw, &format!("{sequencer}-raw")));
        expected.extend(std::iter::repeat_n((case.paths.clone(), &case.why), 3));
    }
    let wire = paths_of(&[], &events).await;
    assert_eq!(wire.len(), expected.len());
    for (wire, (expected, why)) in wire.iter().zip(expected) {
        assert_eq!(*wire, expected, "{why}");
    }
}

/// Returns the key as S3 stores it. The notification is exact about letters that Unicode can encode
/// in several ways, so this decodes it. If that is not UTF-8, it returns the case's own text.
fn raw(case: &KeyCase) -> String {
    String::from_utf8(percent_decoded(&case.notification)).unwrap_or_else(|_| case.key.clone())
}

fn percent_decoded(form: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(&form.replace('+', " ")).collect()
}

#[tokio::test]
async fn the_endpoint_decides_the_spellings_of_a_key() {
    for (number, case) in cases().endpoints.iter().enumerate() {
        let domain = match &*case.endpoint {
            "REST" => "site.s3.eu-central-1.amazonaws.com",
            "website" => "site.s3-website.eu-central-1.amazonaws.com",
            other => panic!("{other}"),
        };
        let found = paths(&account(&[plain("E1", domain)]), &[], &case.key).await;
        assert_eq!(found, case.paths, "{number}: {}", case.why);
    }
}

#[tokio::test]
async fn the_variables_decide_the_paths_of_keys() {
    for case in cases().configured {
        let variables: Vec<(&str, &str)> =
            case.config.iter().map(|(name, value)| (&**name, &**value)).collect();
        let ids: Vec<String> = (0..case.keys.len()).map(|number| format!("m{number}")).collect();
        let bodies = case.keys.iter().enumerate().map(|(number, key)| {
            let record = s3_record(&form_encoded(key.as_bytes()), &number.to_string());
            json!({"Records": [record]}).to_string()
        });
        let batch = sqs(ids.iter().map(|id| &**id).zip(bodies));
        assert_eq!(paths_of(&variables, &[batch]).await, [case.paths], "{}", case.why);
    }
}

#[tokio::test]
async fn typed_paths_become_items_or_errors() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = Function::start(&cloudfront.endpoint_url(), &[]).await;
    for case in cases().typed {
        let before = cloudfront.recorded().len();
        let answer = function.invoke(json!({"paths": [case.typed]}).to_string()).await;
        let sent = cloudfront.recorded().split_off(before);
        if case.error {
            assert_eq!(answer.error_type(), "EventUnreadable", "{}", case.why);
            assert!(answer.message().contains(&format!("{:?}", case.typed)) || case.typed.is_empty());
            assert_eq!(sent, [], "{}", case.why);
        } else {
            assert_eq!(sent.len(), 1, "{}", case.why);
            assert_eq!(sent[0].paths, [case.item.clone().expect("an item")], "{}", case.why);
        }
        assert_eq!(case.typed.parse::<Item>().is_err(), case.error);
    }
}
