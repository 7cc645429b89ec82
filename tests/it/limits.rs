//! Any event that Lambda can deliver is answered, with little memory and in little time.
//!
//! Memory is the peak of the real binary, and time is CPU time, as the kernel counts both: neither
//! depends on how busy the machine is.

use std::fmt::Write;

use crate::support::{Function, cloudfront, sqs};

/// The most that Lambda delivers at once.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MOST_BYTES: usize = 6 * 1024 * 1024;

/// The peak that leaves room in 128 MB.
const MOST_MEMORY: u64 = 64 * 1024;

/// S3 records of these buckets and keys, as the shortest JSON that is one event, as many as fit.
fn records(keys: impl Iterator<Item = (String, String)>) -> String {
    let mut event = String::from("{\"Records\":[");
    for (number, (bucket, key)) in keys.enumerate() {
        let before = event.len();
        let comma = if number == 0 { "" } else { "," };
        write!(
            event,
            "{comma}{{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\
             \"s3\":{{\"bucket\":{{\"name\":\"{bucket}\"}},\"object\":{{\"key\":\"{key}\"}}}}}}"
        )
        .expect("text");
        if event.len() + 2 > MOST_BYTES {
            event.truncate(before);
            break;
        }
    }
    event + "]}"
}

fn of_site(key: String) -> (String, String) {
    ("site".to_owned(), key)
}

fn events() -> Vec<(&'static str, String)> {
    let slashes = "/".repeat(1_015);
    let ordinary = (1..=5).map(|n| format!("ordinary-{n}.html"));
    vec![
        ("slashes", records((0..2_870).map(|n| format!("{n}{slashes}")).chain(ordinary.clone()).map(of_site))),
        (
            "slashes below",
            records((0..2_870).map(|n| format!("uploads/{n}{slashes}")).chain(ordinary.clone()).map(of_site)),
        ),
        ("deep", records((0..100_000).map(|n| format!("{n}{}", "/a".repeat(505))).map(of_site))),
        ("deep ends", records((0..100_000).map(|n| format!("{}{n}", "a/".repeat(505))).map(of_site))),
        (
            "branching",
            records((0..100_000_u64).map(|n| {
                let bits: String = (0..300).map(|at| if n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(at * 7) & 1 == 1 { "a/" } else { "b/" }).collect();
                of_site(bits)
            })),
        ),
        ("long", records((0..100_000).map(|n| format!("{n}{}", "%ff".repeat(1_018))).map(of_site))),
        ("long names", records((0..100_000).map(|n| format!("{}{n}", "x".repeat(1_018))).map(of_site))),
        ("short", records((0..100_000).map(|n| format!("{n}")).map(of_site))),
        ("random", records((0..100_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).map(of_site))),
        ("random dirs", records((0..100_000_u64).map(|n| { let h = n.wrapping_mul(0x9E37_79B9_7F4A_7C15); format!("{:x}/{:x}/{:x}", h >> 60, (h >> 50) & 1023, h & 0xffff) }).map(of_site))),
        ("index", records((0..100_000).map(|n| format!("{n}/index.html")).map(of_site))),
        ("same", records((0..100_000).map(|_| "a".to_owned()).map(of_site))),
        ("buckets", records((0..100_000).map(|n| (format!("bucket-{n}"), n.to_string())))),
        ("typed", {
            let mut event = String::from("{\"paths\":[\"/\"");
            (0..).map_while(|n| { (event.len() < MOST_BYTES - 20).then(|| write!(event, ",\"{n}\"").expect("text")) }).for_each(drop);
            event + "]}"
        }),
        ("typed messages", {
            let mut event = String::from("{\"Records\":[{\"eventSource\":\"aws:sqs\",\"messageId\":\"m\",\"body\":\"{\\\"paths\\\":[\\\"/\\\"]}\"}");
            (0..).map_while(|n| { (event.len() < MOST_BYTES - 120).then(|| write!(event, ",{{\"eventSource\":\"aws:sqs\",\"messageId\":\"{n}\",\"body\":\"{{\\\"paths\\\":[\\\"{n}\\\"]}}\"}}").expect("text")) }).for_each(drop);
            event + "]}"
        }),
        ("nonsense messages", {
            let mut event = String::from("{\"Records\":[{\"eventSource\":\"aws:sqs\",\"messageId\":\"m\",\"body\":\"\"}");
            (0..).map_while(|n| { (event.len() < MOST_BYTES - 120).then(|| write!(event, ",{{\"eventSource\":\"aws:sqs\",\"messageId\":\"{n}\",\"body\":\"\"}}").expect("text")) }).for_each(drop);
            event + "]}"
        }),
        ("nested", {
            let mut body = format!("{{\"Records\":[{{\"eventSource\":\"aws:s3\",\"x\":\"{}\"}}]}}", "x".repeat(5_900_000));
            for _ in 0..8 {
                body = sqs([("m", body)]).to_string();
            }
            body
        }),
    ]
}

#[tokio::test]
async fn explore() {
    for (name, event) in events() {
        for variables in [&[][..], &[("INVALIDATOR_MAX_PATHS", "3000")][..]] {
            let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
            let mut function = Function::start(&cloudfront.endpoint_url(), variables).await;
            let len = event.len();
            let answer = function.invoke(event.clone()).await;
            let (memory, cpu) = (function.peak_memory(), function.cpu());
            println!("{name:>18} {len:>8} B {:>7} kB {cpu:>7} ms {} {}", memory, memory > MOST_MEMORY, variables.len());
            println!("   {}", format!("{answer:?}").chars().take(150).collect::<String>());
        }
    }
}
