//! Checks the plan of every event in `events/` against a snapshot, and that the function's binary
//! sends what the plan shows.

use std::{fs, path::Path, time::Instant};

use cloudfront_invalidator::{Invalidator, config::Config, report::Report};

use crate::support::{Answer, Function, cloudfront};

/// Returns the name and content of every file in `events/`, sorted by name.
fn events() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = fs::read_dir(directory).expect("events").map(|entry| entry.expect("an entry").path());
    let mut events: Vec<_> = files
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("an event"))
        })
        .collect();
    events.sort();
    events
}

fn invalidator() -> Invalidator {
    let variables = [("INVALIDATOR_DISTRIBUTIONS".to_owned(), "E1EXAMPLE".to_owned())];
    Invalidator::new(Config::read(variables).expect("a configuration"), None)
}

async fn planned(event: &[u8]) -> Report {
    invalidator().run(event, "plan", Instant::now()).await
}

#[tokio::test]
async fn plans_match_their_snapshots() {
    for (name, event) in events() {
        let plan = planned(&event).await.explain(invalidator().policy(), true).to_string();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, plan);
        });
    }
}

#[tokio::test]
async fn the_function_sends_what_the_plan_shows() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = Function::start(&cloudfront.endpoint_url(), &[]).await;
    for (name, event) in events() {
        let before = cloudfront.recorded().len();
        let answer = function.invoke_as("plan", std::time::Duration::from_secs(30), event.clone()).await;
        let report = planned(&event).await;
        let sent = cloudfront.recorded().split_off(before);
        assert_eq!(sent.len(), report.plan.invalidations.len(), "{name}");
        for (sent, planned) in sent.iter().zip(&report.plan.invalidations) {
            assert_eq!(sent.paths, planned.paths().collect::<Vec<_>>(), "{name}");
            assert_eq!(sent.caller_reference, planned.caller_reference, "{name}");
        }
        let expected = report.answer();
        match (answer, expected) {
            (Answer::Response(answer), Ok(expected))
                if report.batch.messages.iter().any(|one| one.id.is_some()) =>
            {
                assert_eq!(answer.to_string(), expected.get(), "{name}");
            }
            (Answer::Response(_), Ok(_)) => {}
            (answer, expected) => panic!("{name}: {answer:?} instead of {expected:?}"),
        }
    }
}
