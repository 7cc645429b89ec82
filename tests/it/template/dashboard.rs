//! The dashboard and the alarms.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cloudfront_invalidator::report::metrics;
use serde_json::{Value, json};

use super::{
    REQUIRED, number,
    role::{metrics_statement, statements},
    stack,
    stack::Stack,
};

/// Returns the widgets of the dashboard.
fn widgets(stack: &Stack) -> Vec<Value> {
    let body = stack.properties("Dashboard")["DashboardBody"].clone();
    let body: Value = serde_json::from_str(body.as_str().expect("text")).expect("a dashboard in JSON");
    body["widgets"].as_array().expect("widgets").clone()
}

/// Returns the entries for metrics of a widget, without its expressions.
fn plotted(widget: &Value) -> Vec<Value> {
    let all = widget["properties"]["metrics"].as_array().into_iter().flatten();
    all.filter(|entry| entry[0].is_string()).cloned().collect()
}

/// Returns the expressions of a widget.
fn expressions(widget: &Value) -> Vec<String> {
    let all = widget["properties"]["metrics"].as_array().into_iter().flatten();
    all.filter_map(|entry| entry[0]["expression"].as_str()).map(str::to_owned).collect()
}

/// Returns the alarms of the stack with their properties.
fn alarms(stack: &Stack) -> BTreeMap<String, Value> {
    let all = stack.resources().into_iter();
    let alarms = all.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    alarms.map(|(name, resource)| (name, resource["Properties"].clone())).collect()
}

/// Sets of parameters that change which widgets and alarms exist.
const KINDS: [&[(&str, &str)]; 4] = [
    &[],
    &[("PathsPerMonth", "0")],
    &[("CreateBucket", "true"), ("Trigger", "Notifications"), ("PathsPerDay", "7")],
    &[("CreateBucket", "true"), ("Trigger", "Notifications"), ("PathsPerMonth", "0")],
];

#[test]
fn the_widgets_fill_the_grid() {
    for parameters in KINDS {
        let mut cells = BTreeSet::new();
        for widget in widgets(&stack(parameters)) {
            let [x, y, width, height] = ["x", "y", "width", "height"].map(|field| number(&widget[field]));
            for cell in (y..y + height).flat_map(|row| (x..x + width).map(move |column| (row, column))) {
                assert!(cell.1 < 24 && cells.insert(cell), "{parameters:?}: {cell:?} of {widget}");
            }
        }
        let rows = cells.last().expect("a cell").0 + 1;
        assert_eq!(number(&json!(cells.len())), rows * 24, "{parameters:?}");
    }
}

#[test]
fn the_dashboard_shows_every_alarm_and_draws_lines_at_their_values() {
    for parameters in KINDS {
        let stack = stack(parameters);
        let widgets = widgets(&stack);
        let alarms = alarms(&stack);
        let status = widgets.iter().find(|widget| widget["type"] == "alarm").expect("the status of alarms");
        let shown = status["properties"]["alarms"].as_array().expect("alarms");
        let shown: BTreeSet<String> =
            shown.iter().map(|arn| arn.as_str().expect("an ARN").to_owned()).collect();
        assert_eq!(shown, alarms.keys().map(|name| format!("{name}.Arn")).collect());

        let lines = widgets.iter().filter_map(|widget| widget["properties"].get("annotations"));
        let lines: BTreeMap<String, u64> = lines
            .flat_map(|lines| lines["horizontal"].as_array().expect("lines"))
            .map(|line| (line["label"].as_str().expect("a label").to_owned(), number(&line["value"])))
            .collect();
        let threshold = |alarm: &str| {
            let threshold = &alarms[alarm]["Threshold"];
            threshold.as_u64().or_else(|| threshold.as_str()?.parse().ok()).expect("a number")
        };
        let mut expected = BTreeMap::from([
            // The metric is in milliseconds, and the widget in seconds.
            ("WaitingAlarm".to_owned(), threshold("WaitingAlarm") / 1_000),
            ("AgeAlarm".to_owned(), threshold("AgeAlarm")),
            ("PathsAlarm".to_owned(), threshold("PathsAlarm")),
        ]);
        if stack.has("ForecastAlarm") {
            expected.insert("PathsPerMonth".to_owned(), threshold("ForecastAlarm"));
        }
        assert_eq!(lines, expected, "{parameters:?}");
    }
}

#[test]
fn times_in_milliseconds_are_shown_in_seconds() {
    let is_milliseconds = |name: &str| {
        name == "Duration" || metrics().any(|(known, unit)| known == name && unit == "Milliseconds")
    };
    for widget in widgets(&stack(&[])) {
        let mut expected = Vec::new();
        for metric in plotted(&widget) {
            let options = metric.as_array().and_then(|parts| parts.last()).expect("options");
            if is_milliseconds(metric[1].as_str().expect("a name")) {
                assert_eq!(options["visible"], false, "{metric}");
                expected.push(format!("{}/1000", options["id"].as_str().expect("an id")));
            } else {
                assert_eq!(options.get("visible"), None, "{metric}");
            }
        }
        assert_eq!(expressions(&widget), expected);
    }
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html>
#[test]
fn the_dashboard_has_a_name_a_link_and_a_page_for_problems() {
    for (partition, console, region) in [
        ("aws", "console.aws.amazon.com", "eu-central-1"),
        ("aws-cn", "console.amazonaws.cn", "cn-north-1"),
        ("aws-eusc", "console.amazonaws-eusc.eu", "eusc-de-east-1"),
    ] {
        let stack = Stack::of(&[REQUIRED], partition);
        let name = stack.properties("Dashboard")["DashboardName"].clone();
        // A stack's name has at most 128 letters, digits and hyphens.
        assert_eq!(name, format!("name-{region}"));
        let link =
            format!("https://{console}/cloudwatch/home?region={region}#dashboards/dashboard/Dashboard");
        assert_eq!(stack.output("Dashboard"), Some(link));
    }
    assert_eq!(stack(&[("Metrics", "false")]).output("Dashboard"), None);
    let widgets = widgets(&stack(&[]));
    let text = widgets.iter().find(|widget| widget["type"] == "text").expect("a text");
    let text = text["properties"]["markdown"].as_str().expect("text");
    let (_, rest) = text.split_once('`').expect("a file");
    let (page, _) = rest.split_once('`').expect("its end");
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(page).is_file(), "{page}");
    assert!(!text.contains("http"), "nothing pretends to be published");
}

#[test]
fn a_limit_of_paths_a_month_needs_metrics_and_is_shown() {
    let limit = |stack: &Stack| {
        let variables = stack.environment();
        let limit = variables.into_iter().find(|(name, _)| name == "INVALIDATOR_MONTHLY_PATHS");
        limit.expect("the variable").1
    };
    for (metrics, paths, expected) in
        [("true", "1000", "1000"), ("true", "50", "50"), ("true", "0", "0"), ("false", "1000", "0")]
    {
        let stack = stack(&[("Metrics", metrics), ("PathsPerMonth", paths)]);
        assert_eq!(limit(&stack), expected);
        let is_limited = expected != "0";
        assert_eq!(statements(&stack).contains(&metrics_statement()), is_limited, "{metrics} {paths}");
        assert_eq!(stack.has("ForecastAlarm"), is_limited, "{metrics} {paths}");
        if is_limited {
            assert_eq!(stack.properties("ForecastAlarm")["Threshold"], expected);
        }
    }
}

/// Returns whether a metric with this namespace, name and dimension exists.
fn is_known(namespace: &str, name: &str, dimension: &str) -> bool {
    match (namespace, dimension) {
        ("CloudFrontInvalidator", "FunctionName") => metrics().any(|(known, _)| known == name),
        ("AWS/Lambda", "FunctionName") => ["Errors", "Throttles", "Duration"].contains(&name),
        ("AWS/Events", "RuleName") => ["FailedInvocations", "InvocationsFailedToBeSentToDlq"].contains(&name),
        ("AWS/SQS", "QueueName") => {
            ["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"].contains(&name)
        }
        _ => false,
    }
}

#[test]
fn dashboard_and_alarms_name_metrics_that_exist() {
    let topic = "arn:aws:sns:eu-central-1:123456789012:alarms";
    let stack = stack(&[("AlarmTopic", topic)]);
    let mut shown = BTreeSet::new();
    for widget in widgets(&stack) {
        for metric in plotted(&widget) {
            let part = |index: usize| metric[index].as_str().expect("text");
            assert!(is_known(part(0), part(1), part(2)), "{metric}");
            shown.insert(part(1).to_owned());
        }
    }
    for (name, _) in metrics() {
        assert!(shown.contains(name), "{name} is not on the dashboard");
    }
    let with_topic = alarms(&stack);
    for (name, alarm) in &with_topic {
        let text = |field: &str| alarm[field].as_str().expect("text");
        let dimension = alarm["Dimensions"][0]["Name"].as_str().expect("a name");
        assert!(is_known(text("Namespace"), text("MetricName"), dimension), "{name}");
        assert_eq!(alarm["AlarmActions"], json!([topic]), "{name}");
    }
    assert_eq!(with_topic.len(), 12);
    // Without a topic, the stack has the same alarms without actions. The console shows them.
    let without = alarms(&self::stack(&[]));
    assert_eq!(without.keys().collect::<Vec<_>>(), with_topic.keys().collect::<Vec<_>>());
    assert!(without.values().all(|alarm| alarm.get("AlarmActions").is_none()));
    let failed = &without["FailedAlarm"];
    assert_eq!(failed["Period"].as_u64().zip(failed["EvaluationPeriods"].as_u64()), Some((300, 3)));
    let silent = self::stack(&[("Metrics", "false")]);
    assert!(!silent.has("Dashboard"));
    let own = |alarm: &Value| alarm["Namespace"] == "CloudFrontInvalidator";
    assert!(alarms(&silent).len() == 5 && !alarms(&silent).values().any(own));
}
