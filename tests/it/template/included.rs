//! The examples for the CDK and Terraform, which include the packaged template of a release.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{
    released::{ARCHITECTURE, made, run},
    stack::parsed,
};

/// Makes the files of a release in a folder with this name. Their programs are of no interest here.
fn dist(name: &str) -> PathBuf {
    made(name, &root().join("LICENSE-MIT"), "LICENSE-MIT")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the packaged template in this folder.
fn packaged(dist: &Path) -> String {
    fs::read_to_string(dist.join(format!("template-{ARCHITECTURE}.yaml"))).expect("a template")
}

/// Returns a template in the form in which the test compares it: with the value of `BucketNames`, and
/// with lists where CloudFormation takes a text for a list of one.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let value = plain(value);
                match (&*name, &value) {
                    ("Fn::GetAtt", Value::String(text)) => {
                        let parts: Vec<&str> = text.splitn(2, '.').collect();
                        (name, json!(parts))
                    }
                    ("DependsOn", Value::String(resource)) => (name, json!([resource])),
                    _ => (name, value),
                }
            };
            let value = Value::Object(fields.into_iter().map(field).collect());
            if value == json!({"Ref": "BucketNames"}) {
                json!(["my-bucket"])
            } else if value == json!({"Fn::Select": [0, ["my-bucket"]]}) {
                json!("my-bucket")
            } else {
                value
            }
        }
        Value::Array(values) => values.into_iter().map(plain).collect(),
        other => other,
    }
}

/// Removes a field of an object.
#[track_caller]
fn take(value: &mut Value, name: &str) -> Value {
    value.as_object_mut().and_then(|fields| fields.remove(name)).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
#[ignore = "needs Node.js: make test"]
fn the_cdk_synthesizes_the_whole_template() {
    let dist = dist("release-cdk");
    let output = dist.join("cdk.out");
    let project = root().join("examples/cdk");
    assert!(project.join("node_modules/aws-cdk-lib").is_dir(), "the CDK is missing: `make cdk` installs it");
    let context = json!({"dist": dist, "architecture": ARCHITECTURE});
    let ran = Command::new("npm")
        .args(["run", "--silent", "synth"])
        .current_dir(&project)
        .env("CDK_OUTDIR", &output)
        .env("CDK_CONTEXT_JSON", context.to_string())
        .output()
        .unwrap_or_else(|error| panic!("npm: {error}; install Node.js"));
    let said = [&ran.stdout[..], &ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success(), "{said}");
    assert_eq!(said, "", "the CDK warns");

    let made = fs::read_to_string(output.join("CloudfrontInvalidator.template.json")).expect("a template");
    let mut made = plain(serde_json::from_str(&made).expect("JSON"));
    let mut expected = plain(parsed(&packaged(&dist)));
    // The CDK adds what it needs to deploy, and puts the value of the parameter into the template.
    take(&mut made["Rules"], "CheckBootstrapVersion");
    take(&mut made["Parameters"], "BootstrapVersion");
    take(&mut expected["Parameters"], "BucketNames");
    let code = take(&mut made["Resources"]["Function"]["Properties"], "CodeUri");
    take(&mut expected["Resources"]["Function"]["Properties"], "CodeUri");
    for section in expected.as_object().expect("sections").keys() {
        assert_eq!(made[section], expected[section], "{section}");
    }

    let bucket = json!({"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"});
    assert_eq!(code["Bucket"], bucket);
    let key = code["Key"].as_str().expect("a key");
    let asset = fs::read(output.join(format!("asset.{key}"))).expect("the asset");
    assert_eq!(asset, fs::read(dist.join(format!("invalidator-{ARCHITECTURE}.zip"))).expect("the archive"));
}

/// Returns the blocks of this kind in a Terraform file that is parsed to JSON, as their labels and their content.
fn blocks(parsed: &Value, kind: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for block in parsed[kind].as_array().expect("blocks") {
        let mut labels = Vec::new();
        let mut content = block;
        while let Some(fields) = content.as_object().filter(|_| content.get("__is_block__").is_none()) {
            let (label, inner) = fields.iter().next().expect("a label");
            labels.push(label.trim_matches('"').to_owned());
            content = inner;
        }
        found.push((labels.join("."), content.clone()));
    }
    found
}

#[test]
#[ignore = "needs python-hcl2: make test"]
fn terraform_gives_cloudformation_the_template_with_the_uploaded_archive() {
    let parse = "import hcl2, json; print(json.dumps(hcl2.load(open(\"examples/terraform/main.tf\"))))";
    let file: Value = serde_json::from_str(&run(root(), &format!("python3 -c '{parse}'"))).expect("JSON");
    let block = |kind: &str, labels: &str| {
        let found = blocks(&file, kind).into_iter().find(|(name, _)| name == labels);
        found.unwrap_or_else(|| panic!("no {kind} {labels}")).1
    };
    let stack = block("resource", "aws_cloudformation_stack.invalidator");
    assert_eq!(stack["capabilities"], json!(["\"CAPABILITY_IAM\"", "\"CAPABILITY_AUTO_EXPAND\""]));
    let url = stack["template_url"].as_str().expect("a URL");
    assert!(url.ends_with("/${aws_s3_object.template.key}\""), "{url}");
    for (name, hash) in [("code", "filesha256("), ("template", "sha256(local.template)")] {
        let object = block("resource", &format!("aws_s3_object.{name}"));
        assert_eq!(object["bucket"], "${var.artifacts}");
        let key = object["key"].as_str().expect("a key");
        assert!(key.contains(hash), "the key depends on the content: {key}");
        assert_eq!(object["lifecycle"][0]["create_before_destroy"], true);
    }
    assert_eq!(block("resource", "aws_s3_object.template")["content"], "${local.template}");
    let (_, parameters) =
        blocks(&file, "variable").into_iter().find(|(name, _)| name == "parameters").expect("parameters");
    assert_eq!(parameters["default"], json!({"BucketNames": "\"my-bucket\""}));

    let (_, locals) = &blocks(&file, "locals")[0];
    assert_eq!(locals["archive"], "\"invalidator-${var.architecture}.zip\"");
    let expected = "${replace(file(\"${var.dist}/template-${var.architecture}.yaml\"), \
                    \"CodeUri: ${local.archive}\", \"CodeUri: s3://${var.artifacts}/${aws_s3_object.code.key}\")}";
    assert_eq!(locals["template"], expected);
    // The same replacement, done here.
    let template = packaged(&dist("release-terraform"));
    let replaced = template
        .replace(&format!("CodeUri: invalidator-{ARCHITECTURE}.zip"), "CodeUri: s3://artifacts/code.zip");
    let mut expected = parsed(&template);
    expected["Resources"]["Function"]["Properties"]["CodeUri"] = json!("s3://artifacts/code.zip");
    assert_eq!(parsed(&replaced), expected);
}
