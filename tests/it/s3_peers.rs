//! Compares the simulated S3 with moto and ministack, which nobody here wrote.

use std::path::Path;

use cloudfront_invalidator::local::{Deleted, Options, Server, Upload, Versioning};

use crate::{
    local::{send, signed},
    local_s3::{Entry, call, entries, escaped, header, texts},
    peers::Peer,
};

/// The keys of objects, in the order of the changes. Each is put, and deleted if the flag is not set.
const CHANGES: [(&str, bool); 9] = [
    ("b", true),
    ("a b+c", true),
    ("b", true),
    ("a b+c", false),
    ("a b+c", true),
    ("é/ü", true),
    ("Z", true),
    ("b", false),
    ("d", true),
];

/// Makes the changes in a server that nobody here wrote, and returns the ids of the versions.
async fn change(endpoint: &str) -> Vec<String> {
    let put = async |start: &str, body: &str| {
        let headers = signed("s3") + "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n";
        send(endpoint, start, &headers, body).await.expect("an answer")
    };
    let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
                 </CreateBucketConfiguration>";
    let enable = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(put("PUT /site", place).await.status, 200);
    assert_eq!(put("PUT /site?versioning", enable).await.status, 200);
    let mut ids = Vec::new();
    for (key, is_put) in CHANGES {
        let method = if is_put { "PUT" } else { "DELETE" };
        let answer = put(&format!("{method} /site/{}", escaped(key)), "").await;
        ids.push(header(&answer, "x-amz-version-id").expect("a version").to_owned());
    }
    ids
}

/// Makes the changes in the simulated S3.
fn change_local(server: &Server) -> Vec<String> {
    server.set_versioning("site", Versioning::Enabled);
    let change = |(key, is_put)| {
        if is_put {
            return server.put_object("site", key, Upload::default()).version_id.expect("a version");
        }
        match server.delete("site", key).deleted {
            Deleted::Marker { version_id } => version_id,
            other => panic!("no marker: {other:?}"),
        }
    };
    CHANGES.map(change).to_vec()
}

/// Describes the entries of a list, with the numbers of the changes instead of the versions' ids.
fn described(xml: &str, ids: &[String]) -> Vec<String> {
    let describe = |Entry { key, id, is_marker, is_latest }: Entry| {
        let number = ids.iter().position(|own| *own == id).expect("a known version");
        format!(
            "{key} {number}{}{}",
            if is_marker { " marker" } else { "" },
            if is_latest { " latest" } else { "" }
        )
    };
    entries(xml).into_iter().map(describe).collect()
}

/// A server's answers to the same calls.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    /// The whole list.
    whole: Vec<String>,
    /// The versions that follow each version.
    after: Vec<Vec<String>>,
    /// The keys in a list of objects.
    keys: Vec<String>,
    /// The keys of such a list, in pages of two.
    paged: Vec<Vec<String>>,
    /// The status, whether it is a marker, and the version, for each key and each version.
    heads: Vec<(u16, bool, Option<usize>)>,
}

impl Answers {
    /// Sorts the lists of versions.
    fn sorted(mut self) -> Self {
        self.whole.sort_unstable();
        self.after.iter_mut().for_each(|page| page.sort_unstable());
        self
    }
}

async fn ask(endpoint: &str, ids: &[String]) -> Answers {
    let get = async |path: String| call(endpoint, &format!("GET {path}")).await.expect("an answer").body;
    // Neither server encodes the keys of this list on demand.
    let list = "/site?versions=";
    let mut after = Vec::new();
    for ((key, _), id) in CHANGES.iter().zip(ids) {
        let path = format!("{list}&max-keys=2&key-marker={}&version-id-marker={id}", escaped(key));
        after.push(described(&get(path).await, ids));
    }
    let objects = "/site?list-type=2&encoding-type=url";
    // S3 encodes a space as a plus.
    let keys = |body: &str| -> Vec<String> {
        texts(body, "Key").into_iter().map(|key| key.replace("%20", "+")).collect()
    };
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let body = get(format!("{objects}&max-keys=2{next}")).await;
        paged.push(keys(&body));
        let Some(token) = texts(&body, "NextContinuationToken").pop() else { break };
        next = format!("&continuation-token={}", escaped(&token));
    }
    let mut heads = Vec::new();
    for ((key, _), id) in CHANGES.iter().zip(ids) {
        for version in [String::new(), format!("?versionId={id}")] {
            let answer = call(endpoint, &format!("HEAD /site/{}{version}", escaped(key))).await;
            let answer = answer.expect("an answer");
            let is_marker = header(&answer, "x-amz-delete-marker") == Some("true");
            let shown = header(&answer, "x-amz-version-id");
            let number = ids.iter().position(|own| Some(&**own) == shown);
            heads.push((answer.status, is_marker, number));
        }
    }
    let keys = keys(&get(objects.to_owned()).await);
    Answers { whole: described(&get(list.to_owned()).await, ids), after, keys, paged, heads }
}

/// Returns the answers of the simulated S3.
async fn ask_local() -> Answers {
    let server = Server::start(Options::default()).await.expect("a server");
    let ids = change_local(&server);
    ask(&server.endpoint_url(), &ids).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ministack: make test"]
async fn the_local_s3_answers_as_ministack_does() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("versions");
    std::fs::create_dir_all(&folder).expect("a folder");
    let ministack = Peer::ministack_with("s3", &folder);
    let ids = change(ministack.endpoint()).await;
    let theirs = ask(ministack.endpoint(), &ids).await;
    assert_eq!(ask_local().await, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server: make test"]
async fn the_local_s3_answers_as_moto_does() {
    let moto = Peer::moto();
    let ids = change(moto.endpoint()).await;
    let theirs = ask(moto.endpoint(), &ids).await;
    // moto lists the markers of a page after its versions, S3 each in its place.
    assert_eq!(ask_local().await.sorted(), theirs.sorted());
}
