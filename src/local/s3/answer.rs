//! The answers to calls, errors among them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use hyper::body::Bytes;

use super::xml;

const REQUEST_ID: &str = "C3D13FE58DE4C810";

/// An answer to a call or to a viewer.
#[derive(Clone, Debug)]
pub(in super::super) struct Answer {
    pub(in super::super) status: u16,
    pub(in super::super) headers: Vec<(String, String)>,
    pub(in super::super) body: Bytes,
}

impl Answer {
    /// Creates an answer with the headers that S3 adds to every one.
    pub(super) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let answer = Self { status, headers: Vec::new(), body: body.into() };
        answer.with("x-amz-request-id", REQUEST_ID).with("x-amz-id-2", "x")
    }

    pub(super) fn xml(status: u16, body: String) -> Self {
        Self::new(status, body).with("content-type", "application/xml")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// An error, with the fields and headers that S3 adds to its code and message.
#[derive(Clone, Debug)]
pub(in super::super) struct Error {
    status: u16,
    code: String,
    message: String,
    fields: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
}

impl Error {
    pub(in super::super) fn new(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self { status, code, message, fields: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn access_denied() -> Self {
        Self::new(403, "AccessDenied", "Access Denied")
    }

    pub(super) fn no_such_bucket(name: &str) -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", name)
    }

    pub(super) fn no_such_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    pub(super) fn no_such_version(key: &str, id: &str) -> Self {
        Self::new(404, "NoSuchVersion", "The specified version does not exist.")
            .with("Key", key)
            .with("VersionId", id)
    }

    pub(super) fn method_not_allowed(method: &str, resource: &str) -> Self {
        Self::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
            .with("Method", method)
            .with("ResourceType", resource)
    }

    pub(super) fn invalid_argument(message: &str, name: &str, value: &str) -> Self {
        Self::new(400, "InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    pub(super) fn invalid_version_id(parameter: &str, id: &str) -> Self {
        Self::invalid_argument("Invalid version id specified", parameter, id)
    }

    pub(super) fn not_implemented() -> Self {
        let why = "A header you provided implies functionality that is not implemented";
        Self::new(501, "NotImplemented", why)
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let mut body = xml::document();
        body.push_str("<Error>");
        xml::leaf(&mut body, "Code", &error.code);
        xml::leaf(&mut body, "Message", &error.message);
        for (field, value) in &error.fields {
            xml::leaf(&mut body, field, value);
        }
        xml::leaf(&mut body, "RequestId", REQUEST_ID);
        xml::leaf(&mut body, "HostId", "x");
        body.push_str("</Error>");
        let answer = Self::xml(error.status, body);
        error.headers.into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }
}
