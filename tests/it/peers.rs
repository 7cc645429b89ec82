//! Runs the function, `cfadmin` and the client against moto and ministack, two independent
//! implementations of CloudFront from PyPI, and compares the local CloudFront with them.
//!
//! `make test` installs both and runs all of these tests. A plain `cargo test` skips those that
//! need moto or ministack.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    cloudfront::{Client, Invalidation, Settings},
    site::DistributionId,
};
use serde_json::{Value, json};

use crate::{
    cfadmin::cfadmin_at,
    support::{Answer, Function, cloudfront, s3, s3_record, sqs},
};

const LIMIT: Duration = Duration::from_secs(30);

/// The AWS services that ministack has to start for a deployment of the whole template.
pub(crate) const SERVICES: &str = "cloudformation,cloudfront,events,iam,lambda,logs,monitoring,s3,sqs,sts";

/// A server from PyPI, stopped when dropped.
pub(crate) struct Peer {
    child: Child,
    endpoint: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(programs: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let port = port.to_string();
        let filled = |text: &&str| text.replace("PORT", &port);
        let child = Command::new(programs.join(program))
            .args(arguments.iter().map(filled))
            .envs(variables.iter().map(|(name, value)| (*name, filled(value))))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} in {}: {error}; `make venv` installs it", programs.display())
            });
        let peer = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port.parse().expect("a port"))).is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "{program} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }

    /// Returns the folder of moto and the AWS command line, below `VENV` or, if that is unset,
    /// `.venv`.
    pub(crate) fn programs() -> PathBuf {
        Self::programs_of("VENV", ".venv")
    }

    /// Returns the folder of programs in the virtual environment that `variable` names or, if it is
    /// unset, in `folder` of the project.
    fn programs_of(variable: &str, folder: &str) -> PathBuf {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        env::var_os(variable).map_or_else(default, PathBuf::from).join("bin")
    }

    /// Returns the server's URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs a shell command in `folder`, with `aws` as the AWS command line of the caller with these
    /// variables, in region us-east-1 of this server. Returns the JSON that the command prints.
    /// `Value::Null` if it prints none.
    #[track_caller]
    pub(crate) fn run(&self, folder: &Path, caller: &[(&str, &str)], command: &str) -> Value {
        let path = env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", Self::programs().display()))
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .envs(caller.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    pub(crate) fn moto() -> Self {
        Self::start(&Self::programs(), "moto_server", &["-H", "127.0.0.1", "-p", "PORT"], &[])
    }

    fn ministack() -> Self {
        Self::ministack_with("cloudfront", Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// Starts ministack with these services. The functions that it runs use the same endpoint. It
    /// unpacks files to `folder`, which must be its own: in a shared folder, one instance would run
    /// files that another is still writing.
    pub(crate) fn ministack_with(services: &str, folder: &Path) -> Self {
        Self::ministack_that(services, folder, "false")
    }

    /// Starts ministack with the services for a deployment of the template, so that it allows a call only if
    /// the caller's policies do. The caller of `run` may do everything.
    pub(crate) fn ministack_with_policies(folder: &Path) -> Self {
        Self::ministack_that(SERVICES, folder, "true")
    }

    fn ministack_that(services: &str, folder: &Path, enforces: &str) -> Self {
        let variables = [
            ("AUTH", enforces),
            ("BIND_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", "PORT"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:PORT"),
            ("SERVICES", services),
            // Otherwise ministack opens another port, on all addresses despite `BIND_HOST`, if it finds
            // the package `cryptography`.
            ("IOT_MTLS_ENABLED", "0"),
            ("TMPDIR", folder.to_str().expect("a path that is text")),
        ];
        Self::start(&Self::programs_of("VENV_MINISTACK", ".venv-ministack"), "ministack", &[], &variables)
    }

    /// Creates a distribution through the server's own API, and returns its id.
    fn distribution(&self) -> DistributionId {
        self.distribution_of("site.s3.eu-central-1.amazonaws.com", "")
    }

    /// Creates a distribution with this origin domain and origin path, and returns its id.
    pub(crate) fn distribution_of(&self, domain: &str, origin_path: &str) -> DistributionId {
        let config = r#"<DistributionConfig xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">
            <CallerReference>ALIAS</CallerReference><Comment>test</Comment><Enabled>true</Enabled>
            <DefaultRootObject>home.html</DefaultRootObject>
            <Aliases><Quantity>1</Quantity><Items><CNAME>ALIAS</CNAME></Items></Aliases>
            <Origins><Quantity>1</Quantity><Items><Origin><Id>site</Id>
            <DomainName>DOMAIN</DomainName><OriginPath>PATH</OriginPath>
            <S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity></S3OriginConfig>
            </Origin></Items></Origins>
            <DefaultCacheBehavior><TargetOriginId>site</TargetOriginId>
            <ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy>
            <TrustedSigners><Enabled>false</Enabled><Quantity>0</Quantity><Items></Items></TrustedSigners>
            <ForwardedValues><QueryString>false</QueryString><Cookies><Forward>none</Forward></Cookies></ForwardedValues>
            <MinTTL>0</MinTTL></DefaultCacheBehavior></DistributionConfig>"#;
        let alias = format!("cdn.{domain}{}.example.com", origin_path.replace('/', "."));
        let config = config.replace("DOMAIN", domain).replace("PATH", origin_path).replace("ALIAS", &alias);
        let answer = http(&self.endpoint, "POST", "/2020-05-31/distribution", &config);
        let id = answer.split_once("<Id>").and_then(|(_, rest)| rest.split_once("</Id>")).expect("an id").0;
        id.parse().expect("an id")
    }
}

/// Returns the ids of this process and of all processes that it started, directly or indirectly.
fn family() -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("processes");
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parent = |process: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let all: Vec<(u32, u32)> = processes.filter_map(|process| Some((process, parent(process)?))).collect();
    let mut family = vec![std::process::id()];
    let mut seen = 0;
    while let Some(&member) = family.get(seen) {
        family.extend(all.iter().filter(|(_, parent)| *parent == member).map(|(process, _)| *process));
        seen += 1;
    }
    family
}

/// Returns the addresses on which these processes listen, in the format of `/proc/net/tcp`.
fn listening(processes: &[u32]) -> Vec<String> {
    let descriptors =
        processes.iter().filter_map(|process| std::fs::read_dir(format!("/proc/{process}/fd")).ok());
    let targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let sockets: std::collections::BTreeSet<String> = targets
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut addresses = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(table) = std::fs::read_to_string(table) else { continue };
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is the state of a listening socket.
            if fields[3] == "0A" && sockets.contains(fields[9]) {
                addresses.push(fields[1].to_owned());
            }
        }
    }
    addresses
}

/// Checks that other machines cannot reach any server that the tests start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server and ministack: make test"]
async fn nothing_listens_beyond_loopback() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loopback");
    std::fs::create_dir_all(&folder).expect("a folder");
    let peers = [Peer::moto(), Peer::ministack_with(SERVICES, &folder)];
    let local = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = Function::start(&local.endpoint_url(), &[]).await;
    assert!(matches!(function.invoke(s3("a", "1").to_string()).await, Answer::Response(_)));
    // A server may open more ports after its main one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let addresses = listening(&family());
    assert!(addresses.len() >= peers.len() + 2, "{addresses:?}");
    let is_loopback = |address: &&String| {
        let (host, _) = address.split_once(':').expect("a port");
        // 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped to IPv6. The bytes of each word are reversed.
        let is_v4 = host.len() == 8 && host.ends_with("7F");
        is_v4
            || host == "00000000000000000000000001000000"
            || (host.starts_with("0000000000000000FFFF0000") && host.ends_with("7F"))
    };
    let beyond: Vec<&String> = addresses.iter().filter(|address| !is_loopback(address)).collect();
    assert!(beyond.is_empty(), "{beyond:?}");
}

/// Sends a request without the project's own client, and returns the answer with its head.
fn http(endpoint: &str, method: &str, path: &str, body: &str) -> String {
    let service = if path.starts_with("/2020-05-31/") { "cloudfront" } else { "s3" };
    let head = format!("{method} {path} HTTP/1.1\r\nContent-Type: application/xml");
    send(endpoint, &head, ("x", service), body)
}

/// Sends a request with this access key to this service, and returns the answer with its head.
pub(crate) fn send(endpoint: &str, head: &str, (key, service): (&str, &str), body: &str) -> String {
    use std::io::{Read, Write};
    let host = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).expect("a connection");
    let credential = format!("Credential={key}/20261122/us-east-1/{service}/aws4_request");
    write!(
        stream,
        "{head}\r\nHost: {host}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=x\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn id(text: &str) -> DistributionId {
    text.parse().expect("an id")
}

fn client(endpoint: &str) -> Client {
    let mut settings = Settings::local(endpoint);
    settings.max_attempts = Some(1);
    Client::new(settings)
}

async fn create(
    client: &Client,
    distribution: &DistributionId,
    paths: &[&str],
    reference: &str,
) -> Invalidation {
    client
        .create_invalidation(distribution, paths.iter().copied(), reference, LIMIT)
        .await
        .expect("an invalidation")
        .invalidation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server: make test"]
async fn moto_shows_the_paths_that_the_function_sent() {
    let moto = Peer::moto();
    let distribution = moto.distribution();
    let variables = [("INVALIDATOR_DISTRIBUTIONS", distribution.as_str())];
    let mut function = Function::start(&moto.endpoint, &variables).await;
    let cases: Value = serde_json::from_str(include_str!("data/cases.json")).expect("the cases");
    let cases = cases["keys"].as_array().expect("keys");
    let messages: Vec<(String, String)> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            let record = s3_record(case["notification"].as_str().expect("a key"), &number.to_string());
            (format!("m{number}"), json!({"Records": [record]}).to_string())
        })
        .collect();
    let batch = sqs(messages.iter().map(|(id, body)| (&**id, body.clone())));
    assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);

    let client = client(&moto.endpoint);
    let ids = client.invalidations(&distribution).await.expect("a list");
    assert_eq!(ids.len(), 1);
    let seen = client.invalidation(&distribution, &ids[0].id).await.expect("the invalidation");
    let mut expected: Vec<&str> = cases
        .iter()
        .flat_map(|case| case["paths"].as_array().expect("paths"))
        .filter_map(Value::as_str)
        .collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(seen.paths, expected);

    let manual = json!({"paths": ["/img.jpg?w=100&h=<1>", "#release:1"]});
    assert!(matches!(function.invoke(manual.to_string()).await, Answer::Response(_)));
    let now = client.invalidations(&distribution).await.expect("a list");
    // moto lists the oldest first, CloudFront the newest.
    let new = now.iter().find(|id| !ids.contains(id)).expect("a new one");
    let seen = client.invalidation(&distribution, &new.id).await.expect("the invalidation");
    assert_eq!(seen.paths, ["#release:1", "/img.jpg?w=100&h=%3C1%3E"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server and ministack: make test"]
async fn what_is_left_of_a_batch_waits_in_the_queue_of_moto_and_of_ministack() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for peer in [Peer::moto(), Peer::ministack_with("cloudfront,sqs", folder)] {
        // For SQS, the AWS command line ignores AWS_ENDPOINT_URL.
        let aws = |command: &str| {
            peer.run(folder, &[], &format!("aws sqs --endpoint-url \"$AWS_ENDPOINT_URL\" {command}"))
        };
        let created = aws("create-queue --queue-name changes");
        let url = created["QueueUrl"].as_str().expect("a URL");
        let attributes = || {
            let all = format!("get-queue-attributes --queue-url {url} --attribute-names All");
            aws(&all)["Attributes"].clone()
        };
        let good = peer.distribution();
        let distributions = format!("{good},E2ABSENT");
        let variables = [("INVALIDATOR_DISTRIBUTIONS", &*distributions)];
        let mut function = Function::start(&peer.endpoint, &variables).await;
        let mut event = sqs([("m0", s3("docs/a.html", "1").to_string())]);
        event["Records"][0]["eventSourceARN"] = attributes()["QueueArn"].clone();
        assert_eq!(function.invoke(event.to_string()).await.handed_back(), [""; 0], "{}", peer.endpoint);
        let client = client(&peer.endpoint);
        assert_eq!(client.invalidations(&good).await.expect("a list").len(), 1);
        let waiting = attributes();
        assert_eq!(waiting["ApproximateNumberOfMessagesDelayed"], "1", "{waiting}");
        assert_eq!(waiting["ApproximateNumberOfMessages"], "0", "{waiting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server: make test"]
async fn distributions_of_moto_are_found_by_their_bucket() {
    let moto = Peer::moto();
    let domain = "site.s3.eu-central-1.amazonaws.com";
    let expected = [
        (moto.distribution_of(domain, ""), vec!["/", "/live/home.html", "/home.html"]),
        (moto.distribution_of(domain, "/live"), vec!["/", "/home.html"]),
        (moto.distribution_of("other.s3.eu-central-1.amazonaws.com", ""), vec![]),
    ];
    let mut function = Function::start(&moto.endpoint, &[("INVALIDATOR_DISTRIBUTIONS", "")]).await;
    let batch = ["home.html", "live/home.html"].map(|key| (key, s3(key, key).to_string()));
    assert_eq!(function.invoke(sqs(batch).to_string()).await.handed_back(), [""; 0]);
    let client = client(&moto.endpoint);
    for (distribution, mut paths) in expected {
        let ids = client.invalidations(&distribution).await.expect("a list");
        let mut seen = Vec::new();
        for id in ids {
            seen.extend(client.invalidation(&distribution, &id.id).await.expect("the invalidation").paths);
        }
        paths.sort_unstable();
        assert_eq!(seen, paths, "{distribution}");
    }
    let named = [("INVALIDATOR_DISTRIBUTIONS", "cdn.site.s3.eu-central-1.amazonaws.com.live.example.com")];
    let mut function = Function::start(&moto.endpoint, &named).await;
    assert_eq!(
        function.invoke(sqs([("m", s3("a", "9").to_string())]).to_string()).await.handed_back(),
        [""; 0]
    );
}

/// Creates 120 invalidations, lists them, and returns for each expectation of a paged list whether
/// the server meets it.
async fn pages(endpoint: &str, distribution: &DistributionId) -> Vec<bool> {
    let client = client(endpoint);
    let mut created = Vec::new();
    for number in 0..120 {
        created.push(create(&client, distribution, &["/a"], &format!("r{number}")).await.id);
    }
    let listed = client.invalidations(distribution).await.expect("every page");
    let mut sorted: Vec<String> = listed.iter().map(|one| one.id.clone()).collect();
    sorted.sort_unstable();
    created.sort_unstable();
    let first = http(
        endpoint,
        "GET",
        &format!("/2020-05-31/distribution/{distribution}/invalidation?MaxItems=7"),
        "",
    );
    let field = |name: &str| first.contains(name);
    vec![
        sorted == created,
        listed.len() == 120,
        field("<IsTruncated>true</IsTruncated>"),
        field("<MaxItems>7</MaxItems>"),
        field("<Quantity>7</Quantity>"),
        field("<NextMarker>"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto_server: make test"]
async fn the_local_cloudfront_pages_lists_as_moto_does() {
    let local = cloudfront(&["E1EXAMPLE"]).await;
    let moto = Peer::moto();
    let theirs = pages(&moto.endpoint, &moto.distribution()).await;
    assert_eq!(theirs, [true; 6]);
    assert_eq!(pages(&local.endpoint_url(), &id("E1EXAMPLE")).await, theirs);
}

/// Creates invalidations with the same and with other caller references, and returns for each
/// expectation whether the server meets it.
async fn references(endpoint: &str, distribution: &DistributionId) -> Vec<bool> {
    let client = client(endpoint);
    let first = create(&client, distribution, &["/a", "/b"], "one").await;
    let again = create(&client, distribution, &["/a", "/b"], "one").await;
    let other = create(&client, distribution, &["/a", "/b"], "two").await;
    let seen = client.invalidation(distribution, &first.id).await.expect("the invalidation");
    let nowhere =
        client.create_invalidation(&id("E404"), ["/a"].into_iter(), "x", LIMIT).await.expect_err("an error");
    vec![
        first.id == again.id,
        first.id != other.id,
        first.status == "InProgress" || first.status == "Completed",
        seen.paths == ["/a", "/b"] && seen.caller_reference == "one",
        nowhere.is_no_such_distribution(),
        client.invalidations(distribution).await.map(|ids| ids.len()) == Ok(2),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ministack: make test"]
async fn the_local_cloudfront_treats_caller_references_as_ministack_does() {
    let local = cloudfront(&["E1EXAMPLE"]).await;
    let ministack = Peer::ministack();
    let theirs = references(&ministack.endpoint, &ministack.distribution()).await;
    assert_eq!(theirs, [true; 6]);
    assert_eq!(references(&local.endpoint_url(), &id("E1EXAMPLE")).await, theirs);
}

#[tokio::test]
async fn the_local_cloudfront_refuses_invalid_requests() {
    let local = cloudfront(&["E1EXAMPLE"]).await;
    let client = client(&local.endpoint_url());
    let long = format!("/{}", "a".repeat(4_000));
    for bad in [
        "a", "", "/a b", "/é", "/[", "/~a", "/it's", "/a%2", "/a#b", "/\"", "/a\\", "#", "#a,b", "#a b",
        &long,
    ] {
        let paths = ["/good", bad];
        let error = client
            .create_invalidation(&id("E1EXAMPLE"), paths.into_iter(), bad, LIMIT)
            .await
            .expect_err("an error");
        assert!(error.is_path_rejected(), "{bad:?}: {error}");
    }
    let none = client.create_invalidation(&id("E1EXAMPLE"), [].into_iter(), "none", LIMIT).await;
    assert!(none.is_err());
    create(
        &client,
        &id("E1EXAMPLE"),
        &["/a%7E", "/a?b=c&d", "/a*b*", "#tag", "/é".replace('é', "%C3%A9").as_str()],
        "good",
    )
    .await;
    let many = vec!["/a"; 3_001];
    let error = client
        .create_invalidation(&id("E1EXAMPLE"), many.into_iter(), "many", LIMIT)
        .await
        .expect_err("an error");
    assert!(error.is_too_large(), "{error}");
    let reused = client
        .create_invalidation(&id("E1EXAMPLE"), ["/b"].into_iter(), "good", LIMIT)
        .await
        .expect_err("an error");
    assert!(reused.is_already_done(), "{reused}");
    let unsigned = std::thread::spawn({
        let endpoint = local.endpoint_url();
        move || {
            use std::io::{Read, Write};
            let mut stream =
                std::net::TcpStream::connect(endpoint.trim_start_matches("http://")).expect("a connection");
            let path = "/2020-05-31/distribution/E1EXAMPLE/invalidation";
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        }
    });
    while !unsigned.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(unsigned.join().expect("an answer").starts_with("HTTP/1.1 403"));
}

#[test]
#[ignore = "needs moto_server: make test"]
fn cfadmin_works_with_moto() {
    let moto = Peer::moto();
    let one = moto.distribution_of("site.s3.eu-central-1.amazonaws.com", "");
    let two = moto.distribution_of("site.s3.eu-central-1.amazonaws.com", "/v2");
    let cfadmin = |arguments: &[&str]| {
        let output = cfadmin_at(&moto.endpoint, arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
    };
    let (code, listed, said) = cfadmin(&["ls"]);
    assert_eq!((code, listed.lines().count()), (0, 3), "a heading and two distributions: {said}");
    let (code, _, said) = cfadmin(&["invalidate", "s3://site", "/a"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(one.as_str()) && said.contains(two.as_str()) && said.contains("--all"), "{said}");
    let (code, shown, said) = cfadmin(&["invalidate", "s3://site", "/a", "b c", "--all", "--json"]);
    assert_eq!((code, shown.lines().count()), (0, 2), "{said}");
    let made: Value = serde_json::from_str(shown.lines().next().expect("a line")).expect("a document");
    assert_eq!(made["paths"], json!(["/a", "/b%20c"]));
    let (target, id) = (made["distribution"].as_str().expect("one"), made["id"].as_str().expect("an id"));
    let (code, shown, said) = cfadmin(&["listinvalidations", target, "--paths"]);
    assert_eq!(code, 0, "{said}");
    assert!(shown.contains(id) && shown.contains("/b%20c"), "{shown}");
    let (code, shown, said) = cfadmin(&["wait", target, id, "--timeout", "5"]);
    assert_eq!(code, 0, "{shown} {said}");
    let (code, shown, _) = cfadmin(&["cost"]);
    assert_eq!(code, 0);
    assert!(shown.contains("4 of 1,000 free paths used, 996 left: at least $0.000"), "{shown}");
    let (code, _, said) = cfadmin(&["status", target, "I404"]);
    assert_eq!(code, 3, "{said}");
    assert!(http(&moto.endpoint, "PUT", "/assets", "").starts_with("HTTP/1.1 200"));
    assert!(http(&moto.endpoint, "PUT", "/assets/a%20b%2Bc.css", "a {}").starts_with("HTTP/1.1 200"));
    let verify = |object: &str| {
        let (_, shown, said) = cfadmin(&["verify", &moto.endpoint, "--object", object, "--json"]);
        let document: Value = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(document["verdict"], "unknown", "moto does not serve viewers: {document}");
        document["object_etag"].clone()
    };
    assert_eq!(verify("s3://assets/a b+c.css"), "\"3d1a83e550d58944e1302c48126c0872\"");
    assert_eq!(verify("s3://assets/missing"), Value::Null);
}
