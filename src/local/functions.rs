//! Answers the calls of AWS Lambda that describe functions.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>

use std::sync::Mutex;

use http::{Method, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Closed, Server, Store, json::is_signed_for, lock, read, wire::Refusal};

/// A function, as Lambda describes it.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// The answer of GetFunctionConfiguration. Its `FunctionName` and `FunctionArn` are those by which callers name it.
    pub configuration: Value,
    /// The function's entries in the answer of ListEventSourceMappings.
    pub mappings: Vec<Value>,
    /// The number of environments that are reserved for it. `None` if none are.
    pub reserved: Option<u64>,
}

impl Function {
    fn is_called(&self, name: &str) -> bool {
        ["FunctionName", "FunctionArn"].iter().any(|field| self.configuration[*field] == name)
    }
}

impl Server {
    /// Adds a function, or replaces the one with the same name.
    pub fn set_function(&self, function: Function) {
        let functions = &mut lock(&self.store).functions;
        functions
            .retain(|other| other.configuration["FunctionName"] != function.configuration["FunctionName"]);
        functions.push(function);
    }
}

/// Maximum number of functions on a page.
const PAGE: usize = 50;

/// A call of Lambda's API.
enum Call {
    /// A page of the functions, which begins with the one of this number.
    ListFunctions(usize),
    GetFunctionConfiguration(String),
    GetFunctionConcurrency(String),
    ListEventSourceMappings(String),
}

impl Call {
    /// Reads a request. `None` if it is not about Lambda.
    fn of(request: &Parts) -> Option<Self> {
        let query = request.uri.query().unwrap_or_default();
        let path: Vec<&str> = request.uri.path().trim_matches('/').split('/').collect();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match (&request.method, &path[..]) {
            (&Method::GET, ["2015-03-31", "functions"]) => {
                let marker = query.split('&').find_map(|pair| pair.strip_prefix("Marker="));
                Some(Self::ListFunctions(marker.and_then(|marker| marker.parse().ok()).unwrap_or_default()))
            }
            (&Method::GET, ["2015-03-31", "functions", name, "configuration"]) => {
                Some(Self::GetFunctionConfiguration(decoded(name)))
            }
            (&Method::GET, ["2019-09-30", "functions", name, "concurrency"]) => {
                Some(Self::GetFunctionConcurrency(decoded(name)))
            }
            (&Method::GET, ["2015-03-31", "event-source-mappings"]) => {
                let name = query.split('&').find_map(|pair| pair.strip_prefix("FunctionName="));
                Some(Self::ListEventSourceMappings(decoded(name.unwrap_or_default())))
            }
            _ => None,
        }
    }

    const fn operation(&self) -> &'static str {
        match self {
            Self::ListFunctions(_) => "ListFunctions",
            Self::GetFunctionConfiguration(_) => "GetFunctionConfiguration",
            Self::GetFunctionConcurrency(_) => "GetFunctionConcurrency",
            Self::ListEventSourceMappings(_) => "ListEventSourceMappings",
        }
    }

    fn answer(&self, functions: &[Function]) -> Result<Value, Refusal> {
        let find = |name: &str| {
            functions.iter().find(|function| function.is_called(name)).ok_or_else(|| {
                let why = format!("Function not found: {name}");
                Refusal::new(404, "ResourceNotFoundException", &why)
            })
        };
        Ok(match self {
            Self::ListFunctions(start) => {
                let page = functions.iter().skip(*start).take(PAGE);
                let page: Vec<&Value> = page.map(|function| &function.configuration).collect();
                let end = start + page.len();
                json!({"Functions": page, "NextMarker": (end < functions.len()).then(|| end.to_string())})
            }
            Self::GetFunctionConfiguration(name) => find(name)?.configuration.clone(),
            Self::GetFunctionConcurrency(name) => match find(name)?.reserved {
                Some(reserved) => json!({"ReservedConcurrentExecutions": reserved}),
                None => json!({}),
            },
            Self::ListEventSourceMappings(name) => {
                json!({"EventSourceMappings": find(name)?.mappings, "NextMarker": null})
            }
        })
    }
}

/// Answers a call of Lambda, after any fault that happens to it. Returns `None` for any other request.
pub(super) async fn answer(
    store: &Mutex<Store>,
    request: &Parts,
) -> Option<Result<Response<Full<Bytes>>, Closed>> {
    let call = Call::of(request)?;
    let answer = |store: &Store| {
        if !is_signed_for(request, "lambda") {
            let why = "Missing Authentication Token";
            return Err(Refusal::new(403, "MissingAuthenticationTokenException", why));
        }
        call.answer(&store.functions).map(|answer| answer.to_string())
    };
    let reply = match read(store, call.operation(), answer).await {
        Ok(reply) => reply,
        Err(closed) => return Some(Err(closed)),
    };
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    let (response, body) = match reply {
        Ok(answer) => (response.status(answer.status), answer.body),
        Err(Refusal { status, code, message }) => (
            response.status(status).header("x-amzn-errortype", code),
            json!({"message": message}).to_string(),
        ),
    };
    Some(response.body(Full::new(Bytes::from(body))).map_err(|_| Closed))
}
