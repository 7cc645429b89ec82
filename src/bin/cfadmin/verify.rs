//! `cfadmin verify`: checks whether viewers get what the bucket holds.

use std::path::Path;

use clap::Args;
use cloudfront_invalidator::{
    site::{DistributionId, Endpoint, Object},
    verify::{Answer, Expected, Verdict, Viewer, judge},
};
use http::Uri;
use serde::Serialize;

use crate::{
    Exit, Stop,
    account::{Connection, Session},
    input,
    lookup::{Lookup, shown},
    out::{BAD, GOOD, Output},
};

/// Commands to copy from the help.
const EXAMPLES: &str = r#"Examples:
  cfadmin verify https://www.example.com/index.html
  cfadmin verify www.example.com/docs/a.html -H "Accept-Language: de"
  cfadmin verify - < urls.txt"#;

/// Request URLs as viewers do, and compare the answers with the objects in S3
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// URLs, as browsers show them; "-" for standard input, one on each line
    #[arg(required = true, value_name = "URL", value_parser = Self::url)]
    urls: Vec<Option<Uri>>,

    /// Expected entity tag [default: the object's, from S3]
    #[arg(long, value_name = "ETAG", conflicts_with = "object")]
    etag: Option<String>,

    /// Expected object [default: from the configuration of the distribution or tenant]
    #[arg(long, value_name = "s3://BUCKET/KEY", value_parser = object)]
    object: Option<Object>,

    /// Expect that the object was deleted
    #[arg(long, conflicts_with = "etag")]
    deleted: bool,

    /// Send a header, such as "Accept-Language: de" [default: browsers' Accept-Encoding]
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// The default header, as browsers send it. CloudFront caches each compression separately.
pub(crate) const ACCEPT_ENCODING: (&str, &str) = ("accept-encoding", "gzip, deflate, br");

/// The limits of every verdict.
pub(crate) const UNKNOWABLE: &str = "This is what this machine sees now. Other edge locations, other headers and cookies, and browser \
                          caches may differ.";

fn object(text: &str) -> Result<Object, String> {
    let (bucket, key) =
        input::object(text).ok_or("invalid object; write it as s3://my-bucket/docs/a.html")?;
    Ok(Object { endpoint: Endpoint::default(), bucket: bucket.to_owned(), key: key.as_bytes().to_vec() })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("invalid header; write it as \"Accept-Language: de\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Arguments {
    /// Parses an argument: a URL, or `None` for standard input.
    fn url(text: &str) -> Result<Option<Uri>, String> {
        if text == input::STANDARD { Ok(None) } else { input::url(text).map(Some) }
    }

    /// Returns the URLs, with those from standard input.
    fn urls(&self) -> Result<Vec<Uri>, Stop> {
        let mut urls = Vec::new();
        for url in &self.urls {
            if let Some(url) = url {
                urls.push(url.clone());
                continue;
            }
            let bytes = input::read(Path::new(input::STANDARD), "URLs, one on each line,")?;
            let text = String::from_utf8_lossy(&bytes);
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                urls.push(input::url(line).map_err(|why| Stop::Usage(format!("{line:?}: {why}")))?);
            }
        }
        Ok(urls)
    }
}

/// The JSON document of one URL.
#[derive(Serialize)]
struct VerifyJson {
    url: String,
    verdict: Verdict,
    reason: String,
    #[serde(flatten)]
    answer: Option<Answer>,
    distribution: Option<DistributionId>,
    /// The object that the answer was compared with.
    object: Option<String>,
    object_etag: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let viewer = account.viewer();
    let needs_lookup = arguments.etag.is_none() && arguments.object.is_none();
    let mut lookup = Lookup::default();
    let mut exit = Exit::Done;
    for url in &arguments.urls()? {
        let (distribution, expected, object) = if needs_lookup {
            find(&mut lookup, (&account, &arguments.connection), &viewer, url).await
        } else if let Some(object) = &arguments.object {
            (None, viewer.expected(std::slice::from_ref(object)).await.0, Some(shown(object)))
        } else {
            (None, Expected::Present(arguments.etag.clone().unwrap_or_default()), None)
        };
        let mut headers = arguments.headers.clone();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(ACCEPT_ENCODING.0)) {
            headers.push((ACCEPT_ENCODING.0.to_owned(), ACCEPT_ENCODING.1.to_owned()));
        }
        let (answer, (verdict, reason)) = match viewer.look(url, &headers).await {
            Ok(answer) => (Some(answer.clone()), judge(&answer, &expected)),
            Err(why) => (None, (Verdict::Unknown, why.to_string())),
        };
        exit = match verdict {
            Verdict::Current => exit,
            Verdict::Absent if arguments.deleted => exit,
            Verdict::Absent if exit == Exit::Done => Exit::NotFound,
            _ => Exit::Failed,
        };
        let object_etag = match expected {
            Expected::Present(etag) => Some(etag),
            Expected::Absent | Expected::Unknown(_) => None,
        };
        let document =
            VerifyJson { url: url.to_string(), verdict, reason, answer, distribution, object, object_etag };
        arguments.output.print(&document, |out| {
            let (style, word) = match verdict {
                Verdict::Current => (GOOD, "current"),
                Verdict::Absent if arguments.deleted => (GOOD, "absent"),
                Verdict::Absent => (BAD, "absent"),
                Verdict::Stale => (BAD, "stale"),
                Verdict::Different => (BAD, "different"),
                Verdict::Unknown => (BAD, "unknown"),
            };
            writeln!(out, "{}  {style}{word}{style:#}: {}", document.url, document.reason)?;
            if let Some(answer) = &document.answer {
                let age = answer.age.map_or(String::new(), |age| format!(", {age} s old"));
                let pop = answer.pop.as_ref().map_or(String::new(), |pop| format!(" at {pop}"));
                let x_cache = answer.x_cache.as_deref().unwrap_or("no X-Cache");
                let etag = answer.etag.as_deref().unwrap_or("no ETag");
                writeln!(out, "  viewers  {etag}  {}, {x_cache}{pop}{age}", answer.status)?;
            }
            match (&document.object, &document.object_etag) {
                (Some(object), etag) => {
                    writeln!(out, "  object   {}  {object}", etag.as_deref().unwrap_or("-"))
                }
                (None, Some(etag)) => writeln!(out, "  wanted   {etag}"),
                (None, None) => Ok(()),
            }
        })?;
    }
    if !arguments.output.quiet && !arguments.output.json {
        eprintln!("{UNKNOWABLE}");
    }
    Ok(exit)
}

/// Finds the distribution and the object behind a URL, and what S3 holds.
async fn find(
    lookup: &mut Lookup,
    (account, connection): (&Session, &Connection),
    viewer: &Viewer,
    url: &Uri,
) -> (Option<DistributionId>, Expected, Option<String>) {
    let host = url.host().unwrap_or_default();
    let distribution = match lookup.distribution(&account.client, connection, host).await {
        Ok(distribution) => distribution,
        Err(why) => return (None, Expected::Unknown(why), None),
    };
    let objects = distribution.objects(url.path(), &account.config.search.forms.index_document);
    let id = Some(distribution.id.clone());
    if objects.is_empty() {
        let why = "the path has an origin that is not a bucket".to_owned();
        return (id, Expected::Unknown(why), None);
    }
    let (expected, object) = viewer.expected(&objects).await;
    (id, expected, object.map(shown))
}
