//! Evaluates the template with given parameters, as CloudFormation does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

/// Returns the template, with CloudFormation's short tags, such as `!Ref`, in their long form.
pub(super) fn template() -> Value {
    parsed(include_str!("../../../template.yaml"))
}

/// Returns the template that forwards events to another account, in the same form.
pub(super) fn forwarding() -> Value {
    parsed(include_str!("../../../templates/forward-events.yaml"))
}

/// Returns a template in YAML in the same form.
pub(super) fn parsed(template: &str) -> Value {
    spelled_out(yaml_serde::from_str(template).expect("YAML"))
}

fn spelled_out(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            let value = match (&*name, spelled_out(tagged.value)) {
                ("Fn::GetAtt", Value::String(text)) => {
                    let (resource, attribute) = text.split_once('.').expect("a resource and an attribute");
                    json!([resource, attribute])
                }
                (_, value) => value,
            };
            json!({name: value})
        }
        Yaml::Mapping(fields) => {
            let field =
                |(name, value): (Yaml, Yaml)| (name.as_str().expect("a name").to_owned(), spelled_out(value));
            Value::Object(fields.into_iter().map(field).collect())
        }
        Yaml::Sequence(values) => values.into_iter().map(spelled_out).collect(),
        plain => serde_json::to_value(plain).expect("a plain value"),
    }
}

/// Returns the region in which `Stack` evaluates templates of this partition.
pub(super) fn region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-eusc" => "eusc-de-east-1",
        _ => "eu-central-1",
    }
}

/// Placeholder for `AWS::NoValue`.
const NO_VALUE: &str = "\0no value";

/// The template with values for its parameters.
pub(super) struct Stack {
    template: Value,
    parameters: BTreeMap<String, Value>,
    partition: String,
}

impl Stack {
    /// Creates the stack of the template in this partition, with the parameters in `given` and
    /// defaults for the others.
    pub(super) fn of(given: &[(&str, &str)], partition: &str) -> Self {
        Self::new(template(), given, partition)
    }

    /// Creates the stack of any template.
    pub(super) fn new(template: Value, given: &[(&str, &str)], partition: &str) -> Self {
        let parameters = template["Parameters"].as_object().expect("parameters").clone();
        for (name, _) in given {
            assert!(parameters.contains_key(*name), "there is no parameter {name}");
        }
        let value = |(name, declared): (String, Value)| {
            let given = given.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
            let text = given.unwrap_or_else(|| match &declared["Default"] {
                Value::String(text) => text.clone(),
                Value::Null => panic!("{name} is not given"),
                other => other.to_string(),
            });
            let is_list = declared["Type"] == "CommaDelimitedList";
            let value = if is_list { text.split(',').collect::<Vec<_>>().into() } else { text.into() };
            (name, value)
        };
        let parameters = parameters.into_iter().map(value).collect();
        Self { template, parameters, partition: partition.to_owned() }
    }

    /// Returns the names of the rules that the parameters break.
    pub(super) fn violations(&self) -> Vec<String> {
        let rules = self.template["Rules"].as_object().expect("rules");
        let is_broken = |rule: &Value| {
            let applies = rule.get("RuleCondition").is_none_or(|condition| self.is(condition));
            let assertions = rule["Assertions"].as_array().expect("assertions");
            applies && !assertions.iter().all(|one| self.is(&one["Assert"]))
        };
        rules.iter().filter(|(_, rule)| is_broken(rule)).map(|(name, _)| name.clone()).collect()
    }

    /// Returns whether the stack has this resource.
    pub(super) fn has(&self, resource: &str) -> bool {
        self.resources().iter().any(|(name, _)| name == resource)
    }

    /// Returns the resources of the stack, with every intrinsic function evaluated. A reference to
    /// a resource becomes its name, and an attribute becomes `Name.Attribute`.
    pub(super) fn resources(&self) -> Vec<(String, Value)> {
        let resources = self.template["Resources"].as_object().expect("resources");
        let is_made = |resource: &Value| self.is_on(resource);
        let made = resources.iter().filter(|(_, resource)| is_made(resource));
        made.map(|(name, resource)| (name.clone(), self.value(resource))).collect()
    }

    /// Returns the properties of a resource.
    #[track_caller]
    pub(super) fn properties(&self, resource: &str) -> Value {
        let found = self.resources().into_iter().find(|(name, _)| name == resource);
        found.unwrap_or_else(|| panic!("the stack has no {resource}")).1["Properties"].clone()
    }

    /// Returns the function's environment variables.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let variables = self.properties("Function")["Environment"]["Variables"].clone();
        let variables = variables.as_object().expect("variables").clone();
        variables.into_iter().map(|(name, value)| (name, value.as_str().expect("text").to_owned())).collect()
    }

    /// Returns an output of the stack. `None` if its condition is false.
    pub(super) fn output(&self, name: &str) -> Option<String> {
        let output = &self.template["Outputs"][name];
        self.is_on(output).then(|| self.value(&output["Value"]).as_str().expect("text").to_owned())
    }

    fn is_on(&self, part: &Value) -> bool {
        part.get("Condition").and_then(Value::as_str).is_none_or(|name| self.condition(name))
    }

    fn condition(&self, name: &str) -> bool {
        let condition = &self.template["Conditions"][name];
        assert!(!condition.is_null(), "there is no condition {name}");
        self.is(condition)
    }

    fn is(&self, condition: &Value) -> bool {
        let (function, arguments) =
            function(condition).unwrap_or_else(|| panic!("{condition} is not a condition"));
        let all = || arguments.as_array().expect("arguments");
        match function {
            "Condition" => self.condition(arguments.as_str().expect("a name")),
            "Fn::Equals" => self.value(&all()[0]) == self.value(&all()[1]),
            "Fn::Not" => !self.is(&all()[0]),
            "Fn::And" => all().iter().all(|one| self.is(one)),
            "Fn::Or" => all().iter().any(|one| self.is(one)),
            "Fn::Contains" => {
                self.value(&all()[0]).as_array().expect("a list").contains(&self.value(&all()[1]))
            }
            "Fn::EachMemberEquals" => {
                let expected = self.value(&all()[1]);
                self.value(&all()[0]).as_array().expect("a list").iter().all(|one| *one == expected)
            }
            other => panic!("{other} is not a condition"),
        }
    }

    fn value(&self, value: &Value) -> Value {
        if let Some((function, arguments)) = function(value) {
            return self.evaluated(function, arguments);
        }
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), self.value(value)));
                Value::Object(fields.filter(|(_, value)| value != NO_VALUE).collect::<Map<_, _>>())
            }
            Value::Array(values) => {
                values.iter().map(|value| self.value(value)).filter(|value| value != NO_VALUE).collect()
            }
            plain => plain.clone(),
        }
    }

    fn evaluated(&self, function: &str, arguments: &Value) -> Value {
        let argument = |index: usize| self.value(&arguments[index]);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match function {
            "Ref" => self.reference(arguments.as_str().expect("a name")),
            "Fn::GetAtt" => {
                json!(format!("{}.{}", text(&arguments[0]), text(&arguments[1])))
            }
            "Fn::If" => {
                let branch = if self.condition(arguments[0].as_str().expect("a name")) { 1 } else { 2 };
                argument(branch)
            }
            "Fn::Join" => {
                let parts: Vec<String> = argument(1).as_array().expect("a list").iter().map(text).collect();
                json!(parts.join(arguments[0].as_str().expect("a delimiter")))
            }
            "Fn::Split" => {
                let whole = text(&argument(1));
                whole.split(arguments[0].as_str().expect("a delimiter")).collect()
            }
            "Fn::Select" => {
                let index = arguments[0].as_u64().and_then(|index| usize::try_from(index).ok());
                argument(1)[index.expect("an index")].clone()
            }
            "Fn::FindInMap" => {
                let key = |index: usize| text(&argument(index));
                self.template["Mappings"][key(0)][key(1)][key(2)].clone()
            }
            "Fn::Sub" => {
                let (pattern, own) = match arguments {
                    Value::Array(both) => (text(&both[0]), self.value(&both[1])),
                    pattern => (text(pattern), json!({})),
                };
                let mut parts = pattern.split("${");
                let mut filled = parts.next().unwrap_or_default().to_owned();
                for part in parts {
                    let (name, rest) = part.split_once('}').expect("a name");
                    filled += &match own.get(name) {
                        Some(value) => text(value),
                        None if name.contains('.') => name.to_owned(),
                        None => text(&self.reference(name)),
                    };
                    filled += rest;
                }
                json!(filled)
            }
            other => panic!("unknown function {other}"),
        }
    }

    fn reference(&self, name: &str) -> Value {
        match name {
            "AWS::NoValue" => json!(NO_VALUE),
            "AWS::Partition" => json!(self.partition),
            "AWS::AccountId" => json!("123456789012"),
            "AWS::Region" => json!(region(&self.partition)),
            "AWS::StackName" => json!("name"),
            "AWS::StackId" => json!("arn:aws:cloudformation:eu-central-1:123456789012:stack/name/id"),
            name => self.parameters.get(name).cloned().unwrap_or_else(|| {
                assert!(self.template["Resources"][name].is_object(), "there is no {name}");
                json!(name)
            }),
        }
    }
}

/// Splits a call of an intrinsic function into its name and arguments. `None` for any other value.
fn function(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let (name, arguments) = fields.iter().next()?;
    // In a resource, `Condition` is one field among others, and not a function.
    (name.starts_with("Fn::") || name == "Ref" || name == "Condition").then_some((name, arguments))
}
