//! Answers calls of S3's REST API at an address in path style.

use http::{Method, header::AUTHORIZATION, request::Parts};

use super::super::json::{ALGORITHM, scope};
use super::{
    Buckets, Versioning,
    answer::{Answer, Error},
    bucket::{Bucket, Content, Version, is_id},
    date::http_date,
    list,
    query::{Query, decode},
    xml::{self, NAMESPACE},
};

/// The resource that a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    ListObjectVersions,
    ListObjectsV2,
    HeadObject,
    GetBucketVersioning,
    GetBucketLifecycleConfiguration,
    GetBucketEncryption,
    GetBucketNotificationConfiguration,
    PutBucketNotificationConfiguration,
}

/// A call of S3's API that is signed.
#[derive(Debug)]
pub(in super::super) struct Call {
    operation: Operation,
    bucket: String,
    /// The key. Empty for a call about the bucket.
    key: String,
    query: Query,
    /// The region that the call is signed for.
    region: String,
    /// Whether S3 shall not check the destinations of a notification configuration.
    skips_validation: bool,
}

impl Call {
    /// Reads a request.
    pub(in super::super) fn of(request: &Parts) -> Result<Self, Error> {
        let region = authorize(request)?;
        let query = Query::of(request.uri.query().unwrap_or_default())?;
        let path = request.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        let operation = Operation::of(&request.method, &key, &query)?;
        let skips_validation = request.headers.get("x-amz-skip-destination-validation").is_some();
        Ok(Self { operation, bucket, key, query, region, skips_validation })
    }

    /// Returns the name of the operation.
    pub(in super::super) const fn operation(&self) -> &'static str {
        match self.operation {
            Operation::ListObjectVersions => "ListObjectVersions",
            Operation::ListObjectsV2 => "ListObjectsV2",
            Operation::HeadObject => "HeadObject",
            Operation::GetBucketVersioning => "GetBucketVersioning",
            Operation::GetBucketLifecycleConfiguration => "GetBucketLifecycleConfiguration",
            Operation::GetBucketEncryption => "GetBucketEncryption",
            Operation::GetBucketNotificationConfiguration => "GetBucketNotificationConfiguration",
            Operation::PutBucketNotificationConfiguration => "PutBucketNotificationConfiguration",
        }
    }
}

impl Operation {
    fn of(method: &Method, key: &str, query: &Query) -> Result<Self, Error> {
        let wants = |name: &str| query.get(name).is_some();
        match (method, key.is_empty()) {
            (&Method::HEAD, false) => Ok(Self::HeadObject),
            (&Method::GET, true) if wants("versions") => Ok(Self::ListObjectVersions),
            (&Method::GET, true) if query.get("list-type") == Some("2") => Ok(Self::ListObjectsV2),
            (&Method::GET, true) if wants("versioning") => Ok(Self::GetBucketVersioning),
            (&Method::GET, true) if wants("lifecycle") => Ok(Self::GetBucketLifecycleConfiguration),
            (&Method::GET, true) if wants("encryption") => Ok(Self::GetBucketEncryption),
            (&Method::GET, true) if wants("notification") => Ok(Self::GetBucketNotificationConfiguration),
            (&Method::PUT, true) if wants("notification") => Ok(Self::PutBucketNotificationConfiguration),
            _ => Err(Error::not_implemented()),
        }
    }
}

/// Checks that a request is signed for S3, and returns the region in the signature.
fn authorize(request: &Parts) -> Result<String, Error> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header(AUTHORIZATION.as_str()).and_then(|it| it.strip_prefix(ALGORITHM));
    let authorization = authorization.ok_or_else(Error::access_denied)?;
    let Some((service, region, date)) = scope(authorization) else {
        let why = "The authorization header is malformed; the Credential is mal-formed; expecting \
                   \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
        return Err(Error::new(400, "AuthorizationHeaderMalformed", why));
    };
    if service != "s3" || region.is_empty() || date.len() != 8 {
        let why = format!(
            "The authorization header is malformed; incorrect service \"{service}\". This endpoint belongs to \
             \"s3\"."
        );
        return Err(Error::new(400, "AuthorizationHeaderMalformed", &why));
    }
    if header("x-amz-content-sha256").is_none() {
        let why = "Missing required header for this request: x-amz-content-sha256";
        return Err(Error::new(400, "InvalidRequest", why));
    }
    Ok(region.to_owned())
}

impl Buckets {
    /// Answers a call.
    pub(in super::super) fn answer(&mut self, call: &Call, body: &[u8]) -> Result<Answer, Error> {
        let bucket = self.buckets.get_mut(&call.bucket).ok_or_else(|| Error::no_such_bucket(&call.bucket))?;
        if let Some(region) = bucket.region.as_ref().filter(|region| **region != call.region) {
            return Err(elsewhere(&call.bucket, region));
        }
        if bucket.is_denied {
            return Err(Error::access_denied());
        }
        let body = match call.operation {
            Operation::HeadObject => return head(bucket, call),
            Operation::ListObjectVersions => list::versions(&call.bucket, bucket, &call.query)?,
            Operation::ListObjectsV2 => list::objects(&call.bucket, bucket, &call.query)?,
            Operation::GetBucketVersioning => versioning(bucket),
            Operation::GetBucketLifecycleConfiguration => lifecycle(bucket)?,
            Operation::GetBucketEncryption => encryption(bucket),
            Operation::GetBucketNotificationConfiguration => notifications(bucket),
            Operation::PutBucketNotificationConfiguration => return replace(bucket, call, body),
        };
        Ok(Answer::xml(200, body))
    }
}

/// Returns the answer to a call that is signed for another region than the bucket's.
fn elsewhere(name: &str, region: &str) -> Error {
    let why = "The bucket you are attempting to access must be addressed using the specified endpoint. \
               Please send all future requests to this endpoint.";
    Error::new(301, "PermanentRedirect", why)
        .with("Endpoint", format!("{name}.s3.{region}.amazonaws.com"))
        .with("Bucket", name)
        .with_header("x-amz-bucket-region", region)
}

/// Returns the answer to HeadObject.
fn head(bucket: &Bucket, call: &Call) -> Result<Answer, Error> {
    call.query.only(&["versionId"])?;
    let key = &*call.key;
    let wanted = call.query.get("versionId");
    let found = match wanted {
        None => bucket.current(key).ok_or_else(|| Error::no_such_key(key))?,
        Some("") => {
            let why = "Version id cannot be the empty string";
            return Err(Error::invalid_argument(why, "versionId", ""));
        }
        Some(id) if !is_id(id) => return Err(Error::invalid_version_id("versionId", id)),
        Some(id) => bucket.version(key, id).ok_or_else(|| Error::no_such_version(key, id))?,
    };
    match &found.content {
        Some(content) => Ok(describe(bucket, found, content)),
        None => Err(marker(found, key, wanted.is_some())),
    }
}

/// Returns the error for a delete marker, which depends on whether the call names its id.
fn marker(marker: &Version, key: &str, is_named: bool) -> Error {
    let error = if is_named {
        Error::method_not_allowed("HEAD", "DeleteMarker")
            .with_header("allow", "DELETE")
            .with_header("last-modified", http_date(marker.modified))
    } else {
        Error::no_such_key(key)
    };
    error.with_header("x-amz-delete-marker", "true").with_header("x-amz-version-id", &*marker.id)
}

/// Returns the headers of a version.
fn describe(bucket: &Bucket, version: &Version, content: &Content) -> Answer {
    let mut answer = Answer::new(200, "")
        .with("content-length", content.bytes.len().to_string())
        .with("etag", format!("\"{}\"", content.etag))
        .with("last-modified", http_date(version.modified))
        .with("accept-ranges", "bytes")
        .with("x-amz-server-side-encryption", content.encryption.algorithm());
    if let Some(id) = bucket.shown(version.id.clone()) {
        answer = answer.with("x-amz-version-id", id);
    }
    if content.storage_class != super::StorageClass::Standard {
        answer = answer.with("x-amz-storage-class", content.storage_class.name());
    }
    answer.headers.extend(content.headers.iter().cloned());
    answer
}

fn versioning(bucket: &Bucket) -> String {
    let status = match bucket.versioning {
        Versioning::Unversioned => "",
        Versioning::Enabled => "<Status>Enabled</Status>",
        Versioning::Suspended => "<Status>Suspended</Status>",
    };
    let root = "VersioningConfiguration";
    format!("{}<{root} xmlns=\"{NAMESPACE}\">{status}</{root}>", xml::document())
}

fn lifecycle(bucket: &Bucket) -> Result<String, Error> {
    let why = "The lifecycle configuration does not exist";
    let configuration = bucket.lifecycle.as_ref();
    configuration
        .map(|configuration| xml::document() + configuration)
        .ok_or_else(|| Error::new(404, "NoSuchLifecycleConfiguration", why))
}

fn encryption(bucket: &Bucket) -> String {
    let root = "ServerSideEncryptionConfiguration";
    let algorithm = bucket.encryption.algorithm();
    format!(
        "{}<{root} xmlns=\"{NAMESPACE}\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}\
         </SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>\
         </{root}>",
        xml::document()
    )
}

fn notifications(bucket: &Bucket) -> String {
    let none = || format!("<NotificationConfiguration xmlns=\"{NAMESPACE}\"/>");
    xml::document() + &bucket.notifications.clone().unwrap_or_else(none)
}

/// Replaces the notification configuration of a bucket. Unless the call skips that, S3 looks for the destinations, none
/// of which exist here.
fn replace(bucket: &mut Bucket, call: &Call, body: &[u8]) -> Result<Answer, Error> {
    let body = std::str::from_utf8(body).ok().filter(|body| body.contains("<NotificationConfiguration"));
    let body = body.ok_or_else(|| {
        let why = "The XML you provided was not well-formed or did not validate against our published schema";
        Error::new(400, "MalformedXML", why)
    })?;
    let has_destinations = ["<Topic>", "<Queue>", "<CloudFunction>"].iter().any(|tag| body.contains(tag));
    if has_destinations && !call.skips_validation {
        let why = "Unable to validate the following destination configurations";
        return Err(Error::new(400, "InvalidArgument", why));
    }
    bucket.notifications = Some(body.split_once("?>").map_or(body, |(_, root)| root.trim()).to_owned());
    Ok(Answer::new(200, ""))
}
