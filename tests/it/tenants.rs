//! The simulated distribution tenants, as the AWS SDK and viewers see them.

use aws_credential_types::Credentials;
use aws_sdk_cloudfront::{
    Client, Config,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::create_invalidation_for_distribution_tenant::CreateInvalidationForDistributionTenantError,
    types::{DistributionTenantAssociationFilter, InvalidationBatch, Paths},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use cloudfront_invalidator::local::{Account, Fault, Options, Rate, Server};
use serde_json::{Value, json};

use crate::local::send;

/// A connector that opens a connection for each request.
#[derive(Clone, Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async move {
            let (authority, path) =
                request.uri().trim_start_matches("http://").split_once('/').expect("a path");
            let start = format!("{} /{path}", request.method());
            let mut headers = String::new();
            for (name, value) in request.headers() {
                if name != "content-length" {
                    headers.extend([name, ": ", value, "\r\n"]);
                }
            }
            let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
            let closed = || ConnectorError::io("closed without an answer".into());
            let answer = send(authority, &start, &headers, &body).await.ok_or_else(closed)?;
            let status = answer.status.try_into().expect("a status");
            let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
            for (name, value) in answer.head.lines().filter_map(|line| line.split_once(": ")) {
                response.headers_mut().insert(name.to_owned(), value.to_owned());
            }
            Ok(response)
        })
    }
}

/// Returns the SDK's own client.
fn client(server: &Server) -> Client {
    let connector = |_: &HttpConnectorSettings, _: &RuntimeComponents| SharedHttpConnector::new(Connector);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint_url())
        .credentials_provider(Credentials::new("AKIAEXAMPLE", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(connector));
    Client::from_conf(config.build())
}

/// Returns a distribution for tenants. Its origin's bucket and path are parameters; the path has a
/// default.
fn distribution() -> Value {
    let parameter = |name: &str, default: Option<&str>| {
        let mut schema = json!({"Comment": "x", "Required": default.is_none()});
        if let Some(default) = default {
            schema["DefaultValue"] = json!(default);
        }
        json!({"Name": name, "Definition": {"StringSchema": schema}})
    };
    json!({"Distribution": {
        "Id": "EMANY",
        "DomainName": "demany.cloudfront.net",
        "DistributionConfig": {
            "CallerReference": "x",
            "Comment": "",
            "Enabled": true,
            "ConnectionMode": "tenant-only",
            "TenantConfig": {"ParameterDefinitions": [
                parameter("bucket", None),
                parameter("folder", Some("public")),
            ]},
            "Origins": {"Quantity": 1, "Items": [
                {"Id": "files", "DomainName": "{{bucket}}.s3.us-east-1.amazonaws.com",
                 "OriginPath": "/v/{{folder}}"},
            ]},
            "DefaultCacheBehavior": {"TargetOriginId": "files", "ViewerProtocolPolicy": "allow-all"},
        },
    }})
}

/// Returns a tenant of that distribution. Its domain is `{name}.example.com`.
fn tenant(name: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: Vec<Value> =
        parameters.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({"ETag": "E1", "DistributionTenant": {
        "Id": format!("dt_{name}"),
        "DistributionId": "EMANY",
        "Name": name,
        "Arn": format!("arn:aws:cloudfront::123456789012:distribution-tenant/dt_{name}"),
        "Domains": [{"Domain": format!("{name}.example.com"), "Status": "active"}],
        "Tags": {"Items": [{"Key": "team", "Value": "web"}]},
        "Customizations": {"GeoRestrictions": {"RestrictionType": "whitelist", "Locations": ["DE", "FR"]}},
        "Parameters": parameters,
        "ConnectionGroupId": "cg_1",
        "CreatedTime": "2026-01-01T00:00:00+00:00",
        "LastModifiedTime": "2026-01-01T00:00:00+00:00",
        "Enabled": true,
        "Status": "Deployed",
    }})
}

fn account(documents: &[Value]) -> Account {
    let mut account = Account::default();
    for document in documents {
        account.add(document.to_string().as_bytes(), None).expect("an account");
    }
    account
}

async fn start(documents: &[Value]) -> Server {
    let account = account(documents);
    Server::start(Options { account, ..Options::default() }).await.expect("a server")
}

fn filter(distribution: &str) -> DistributionTenantAssociationFilter {
    DistributionTenantAssociationFilter::builder().distribution_id(distribution).build()
}

fn batch(path: &str) -> InvalidationBatch {
    let paths = Paths::builder().quantity(1).items(path).build().expect("paths");
    InvalidationBatch::builder().paths(paths).caller_reference(path).build().expect("a batch")
}

async fn invalidate(
    client: &Client,
    tenant: &str,
    path: &str,
) -> Result<String, SdkError<CreateInvalidationForDistributionTenantError>> {
    let call = client.create_invalidation_for_distribution_tenant().id(tenant);
    let output = call.invalidation_batch(batch(path)).send().await?;
    Ok(output.invalidation.expect("an invalidation").id)
}

#[tokio::test]
async fn tenants_are_listed_in_pages_without_parameters() {
    let mut other = tenant("other", &[]);
    other["DistributionTenant"]["DistributionId"] = json!("E1EXAMPLE");
    let server =
        start(&[distribution(), tenant("a", &[("bucket", "x")]), other, tenant("b", &[]), tenant("c", &[])])
            .await;
    let client = client(&server);
    let list = || client.list_distribution_tenants().association_filter(filter("EMANY")).max_items(2);
    let first = list().send().await.expect("a page");
    let second = list().marker(first.next_marker.as_deref().expect("more")).send().await.expect("a page");
    assert_eq!(second.next_marker, None);
    let found = [first.distribution_tenant_list(), second.distribution_tenant_list()].concat();
    let names: Vec<&str> = found.iter().map(|tenant| &*tenant.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let a = &found[0];
    assert_eq!((&*a.id, &*a.distribution_id, a.enabled), ("dt_a", "EMANY", Some(true)));
    assert_eq!(a.domains[0].domain, "a.example.com");
    assert_eq!(a.status.as_deref(), Some("Deployed"));
    assert_eq!(a.connection_group_id.as_deref(), Some("cg_1"));
    let geography = a.customizations.as_ref().and_then(|all| all.geo_restrictions.as_ref());
    assert_eq!(geography.expect("a restriction").locations(), ["DE", "FR"]);

    let all = client.list_distribution_tenants().send().await.expect("a page");
    assert_eq!(all.distribution_tenant_list().len(), 4, "without a filter");
    let none = client.list_distribution_tenants().association_filter(filter("ENONE")).send().await;
    assert_eq!(none.expect_err("an error").code(), Some("EntityNotFound"));
    assert_eq!(server.reads(), ["ListDistributionTenants"; 4]);
}

#[tokio::test]
async fn a_tenant_is_found_by_id_name_and_arn() {
    let server = start(&[distribution(), tenant("a", &[("bucket", "x"), ("folder", "y & z")])]).await;
    let client = client(&server);
    let page = client.list_distribution_tenants().send().await.expect("a page");
    for identifier in ["dt_a", "a", "arn:aws:cloudfront::123456789012:distribution-tenant/dt_a"] {
        let found = client.get_distribution_tenant().identifier(identifier).send().await.expect("a tenant");
        assert_eq!(found.e_tag.as_deref(), Some(&*page.distribution_tenant_list()[0].e_tag));
        let tenant = found.distribution_tenant.expect("a tenant");
        let parameters: Vec<(&str, &str)> =
            tenant.parameters().iter().map(|parameter| (&*parameter.name, &*parameter.value)).collect();
        assert_eq!(parameters, [("bucket", "x"), ("folder", "y & z")]);
        assert_eq!(tenant.tags.expect("tags").items()[0].key, "team");
    }
    let missing = client.get_distribution_tenant().identifier("dt_b").send().await;
    assert!(missing.expect_err("an error").into_service_error().is_entity_not_found());
}

#[tokio::test]
async fn the_version_in_the_list_changes_with_the_parameters() {
    let server = start(&[distribution(), tenant("a", &[("bucket", "x")])]).await;
    let client = client(&server);
    let version = async || {
        let page = client.list_distribution_tenants().send().await.expect("a page");
        page.distribution_tenant_list()[0].e_tag.clone()
    };
    let before = version().await;
    assert_eq!(version().await, before);
    server.change(account(&[distribution(), tenant("a", &[("bucket", "y")])]));
    assert_ne!(version().await, before);
}

#[tokio::test]
async fn a_list_of_tenants_adds_to_what_is_known() {
    let mut summary = tenant("a", &[])["DistributionTenant"].take();
    summary.as_object_mut().expect("fields").remove("Parameters");
    summary["Enabled"] = json!(false);
    let list = json!({"DistributionTenantList": [summary]});
    let server = start(&[distribution(), tenant("a", &[("bucket", "x")]), list]).await;
    let found = client(&server).get_distribution_tenant().identifier("a").send().await.expect("a tenant");
    let tenant = found.distribution_tenant.expect("a tenant");
    assert_eq!((tenant.enabled, tenant.parameters().len()), (Some(false), 1));

    let unnamed = json!({"DistributionTenant": {"Name": "a"}}).to_string();
    assert!(Account::default().add(unnamed.as_bytes(), None).is_err(), "without an id");
}

#[tokio::test]
async fn the_configuration_defines_the_parameters() {
    let server = start(&[distribution()]).await;
    let output = client(&server).get_distribution_config().id("EMANY").send().await.expect("a configuration");
    let config = output.distribution_config.expect("a configuration");
    let definitions = config.tenant_config.expect("a tenant configuration").parameter_definitions;
    let schemas: Vec<(String, Option<String>, bool)> = definitions
        .expect("definitions")
        .into_iter()
        .map(|parameter| {
            let schema = parameter.definition.and_then(|all| all.string_schema).expect("a schema");
            (parameter.name, schema.default_value, schema.required)
        })
        .collect();
    let public = Some("public".to_owned());
    assert_eq!(schemas, [("bucket".to_owned(), None, true), ("folder".to_owned(), public, false)]);
}

#[tokio::test]
async fn tenants_have_invalidations_of_their_own() {
    let server = start(&[distribution(), tenant("a", &[]), tenant("b", &[])]).await;
    let client = client(&server);
    let id = invalidate(&client, "dt_a", "/x").await.expect("an invalidation");
    assert_eq!(invalidate(&client, "dt_a", "/x").await.expect("the same"), id);
    assert_ne!(invalidate(&client, "dt_b", "/x").await.expect("another"), id);
    let recorded: Vec<(String, Vec<String>)> =
        server.recorded().into_iter().map(|one| (one.distribution, one.paths)).collect();
    let x = vec!["/x".to_owned()];
    assert_eq!(recorded, [("dt_a".to_owned(), x.clone()), ("dt_b".to_owned(), x)]);

    let get = |tenant: &str| {
        client.get_invalidation_for_distribution_tenant().distribution_tenant_id(tenant).id(&id).send()
    };
    let found = get("dt_a").await.expect("an answer").invalidation.expect("an invalidation");
    assert_eq!(
        (&*found.status, &*found.invalidation_batch.expect("a batch").caller_reference),
        ("InProgress", "/x")
    );
    assert!(get("dt_b").await.expect_err("an error").into_service_error().is_no_such_invalidation());
    let list = client.list_invalidations_for_distribution_tenant().id("dt_a").send().await.expect("a list");
    assert_eq!(list.invalidation_list.expect("a list").items()[0].id, id);
}

#[tokio::test]
async fn a_distribution_for_tenants_is_no_target_itself() {
    let server = start(&[distribution(), tenant("a", &[])]).await;
    let client = client(&server);
    for id in ["EMANY", "dt_a"] {
        let call = client.create_invalidation().distribution_id(id).invalidation_batch(batch("/x"));
        let error = call.send().await.expect_err("an error").into_service_error();
        assert!(error.is_no_such_distribution(), "{id}: {error:?}");
    }
    for id in ["EMANY", "a", "dt_b"] {
        let error = invalidate(&client, id, "/x").await.expect_err("an error").into_service_error();
        assert!(error.is_entity_not_found(), "{id}: {error:?}");
    }
    assert_eq!((server.created(), server.calls()), (0, 5));
}

#[tokio::test]
async fn faults_and_throttling_happen_to_calls_about_tenants() {
    let rate = Some(Rate { per_second: 0.5, burst: 1 });
    let account = account(&[distribution(), tenant("a", &[])]);
    let server =
        Server::start(Options { account, rate, speed: 0, ..Options::default() }).await.expect("a server");
    let client = client(&server);
    let denied = || Fault::Refuse { status: 403, code: "AccessDenied".to_owned(), message: "No.".to_owned() };
    server.inject_read("ListDistributionTenants", 1, denied());
    server.inject_read("GetDistributionTenant", 0, denied());
    server.inject(Some("dt_a"), denied());
    assert!(client.list_distribution_tenants().send().await.is_ok());
    let error = client.list_distribution_tenants().send().await.expect_err("an error");
    assert_eq!(error.code(), Some("AccessDenied"));
    let error = client.get_distribution_tenant().identifier("a").send().await.expect_err("an error");
    assert_eq!(error.code(), Some("AccessDenied"));
    assert_eq!(server.reads().last(), Some(&"GetDistributionTenant"));
    let error = invalidate(&client, "dt_a", "/x").await.expect_err("an error");
    assert_eq!(error.code(), Some("AccessDenied"));
    let error = invalidate(&client, "dt_a", "/x").await.expect_err("an error");
    assert_eq!(error.code(), Some("Throttling"));
    assert_eq!(server.throttled(), 1);
}

/// Requests a path as a viewer of a host does.
async fn view(server: &Server, host: &str, path: &str) -> (u16, String) {
    let headers = format!("Host: {host}\r\n");
    let answer = send(&server.endpoint_url(), &format!("GET {path}"), &headers, "").await;
    let answer = answer.expect("an answer");
    (answer.status, answer.body)
}

fn found(content: &str) -> (u16, String) {
    (200, content.to_owned())
}

#[tokio::test]
async fn viewers_of_a_tenant_get_objects_from_its_own_origin_and_cache() {
    let documents = [
        distribution(),
        tenant("a", &[("bucket", "site-a")]),
        tenant("b", &[("bucket", "site-b"), ("folder", "b/c")]),
        tenant("same", &[("bucket", "site-a")]),
        tenant("incomplete", &[]),
    ];
    let server = start(&documents).await;
    let client = client(&server);
    server.put("site-a", "v/public/x.html", Some(b"a 1"));
    server.put("site-b", "v/b/c/x.html", Some(b"b 1"));
    let path = "/x.html";
    assert_eq!(view(&server, "a.example.com", path).await, found("a 1"));
    assert_eq!(view(&server, "b.example.com", path).await, found("b 1"));
    assert_eq!(view(&server, "same.example.com", path).await, found("a 1"));
    assert_eq!(view(&server, "incomplete.example.com", path).await.0, 404);
    // The distribution has no viewers of its own.
    assert_eq!(view(&server, "demany.cloudfront.net", path).await.0, 403);

    server.put("site-a", "v/public/x.html", Some(b"a 2"));
    server.put("site-b", "v/b/c/x.html", Some(b"b 2"));
    invalidate(&client, "dt_a", "/*").await.expect("an invalidation");
    assert_eq!(view(&server, "a.example.com", path).await, found("a 2"));
    assert_eq!(view(&server, "b.example.com", path).await, found("b 1"));
    assert_eq!(view(&server, "same.example.com", path).await, found("a 1"), "another tenant's cache");
}

#[tokio::test]
async fn viewers_get_nothing_from_a_tenant_that_is_off_but_its_cache_stays() {
    let on = [distribution(), tenant("a", &[("bucket", "site")])];
    let server = start(&on).await;
    server.put("site", "v/public/x", Some(b"1"));
    assert_eq!(view(&server, "a.example.com", "/x").await, found("1"));
    let mut disabled = on.clone();
    disabled[1]["DistributionTenant"]["Enabled"] = json!(false);
    let mut inactive = on.clone();
    inactive[1]["DistributionTenant"]["Domains"][0]["Status"] = json!("inactive");
    for off in [disabled, inactive] {
        server.change(account(&off));
        assert_eq!(view(&server, "a.example.com", "/x").await.0, 403);
    }
    server.put("site", "v/public/x", Some(b"2"));
    server.change(account(&on));
    assert_eq!(view(&server, "a.example.com", "/x").await, found("1"));
}
