//! The pages for users show what the commands really print.

use serde_json::json;

use crate::cfadmin::{cfadmin, lines, text};

/// Returns whether `shown` is as `expected`. A line "…" stands for any number of lines, and a "…"
/// within a line for any text.
fn matches(shown: &[&str], expected: &[&str]) -> bool {
    match (shown, expected) {
        (_, ["…", rest @ ..]) => (0..=shown.len()).any(|skipped| matches(&shown[skipped..], rest)),
        ([line, shown @ ..], [wanted, expected @ ..]) => {
            let same = match wanted.split_once('…') {
                Some((start, end)) => line.starts_with(start) && line.ends_with(end),
                None => line == wanted,
            };
            same && matches(shown, expected)
        }
        (shown, expected) => shown.is_empty() && expected.is_empty(),
    }
}

#[test]
fn the_pages_for_users_show_the_real_output_of_commands() {
    let pages = [
        include_str!("../../README.md"),
        include_str!("../../docs/configuration.md"),
        include_str!("../../docs/output.md"),
    ]
    .concat();
    let sessions: Vec<&str> = pages
        .split("```console\n$ cargo run -- ")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the end of a block"))
        .collect();
    assert!(sessions.len() >= 3);
    for session in sessions {
        let mut expected = session.lines();
        let command = expected.next().expect("a command");
        let output = cfadmin(&command.split(' ').collect::<Vec<_>>(), &[], "");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shown: Vec<&str> = text(&output.stdout).lines().collect();
        let expected: Vec<&str> = expected.collect();
        assert!(matches(&shown, &expected), "{command} prints\n{}", text(&output.stdout));
    }
}

/// Splits a command at the spaces that are not within double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

/// Runs each command of a page's console blocks in the project's folder, and compares what it prints. A command may begin
/// with variables, as in a shell. Returns the number of commands.
fn run_sessions(page: &str) -> usize {
    let mut commands = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("the end of a block");
        for session in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = session.split_once('\n').unwrap_or((session, ""));
            let words = words(command);
            let variables: Vec<(&str, &str)> = words.iter().map_while(|word| word.split_once('=')).collect();
            let command_words: Vec<&str> = words[variables.len()..].iter().map(String::as_str).collect();
            let ["cfadmin", arguments @ ..] = &command_words[..] else { continue };
            let output = cfadmin(arguments, &variables, "");
            let shown = [text(&output.stdout), text(&output.stderr)].concat();
            let mut shown: Vec<String> = shown.lines().map(str::to_owned).collect();
            if !output.status.success() {
                shown.push(format!("[exit {}]", output.status.code().expect("a code")));
            }
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            let expected: Vec<&str> = expected.lines().collect();
            assert!(matches(&shown, &expected), "{command} prints\n{}", shown.join("\n"));
            commands += 1;
        }
    }
    commands
}

#[test]
fn the_pages_about_cfadmin_show_the_real_output_of_commands() {
    assert!(run_sessions(include_str!("../../docs/cfadmin.md")) >= 20);
    assert!(run_sessions(include_str!("../../docs/recipes.md")) >= 9);
}

#[test]
fn json_documents_have_the_documented_fields_and_quiet_prints_nothing() {
    let page = include_str!("../../docs/cfadmin.md");
    let fields = |command: &str| -> Vec<&str> {
        let mut rows = page.lines().filter(|line| line.starts_with("| `"));
        let row = rows
            .find(|row| row.split(" | ").next().is_some_and(|first| first.contains(&format!("`{command}`"))))
            .unwrap_or_else(|| panic!("{command} is not in the table"));
        row.split(" | ").nth(2).expect("fields").split('`').skip(1).step_by(2).collect()
    };
    let commands: [(&str, &[&str]); 16] = [
        ("invalidate", &["invalidate", "E1EXAMPLE", "/a"]),
        ("invalidate --dry-run", &["invalidate", "E1EXAMPLE", "/a", "--dry-run"]),
        ("status", &["status", "E1EXAMPLE", "I0000000000001"]),
        ("wait", &["wait", "E1EXAMPLE", "I0000000000001", "--timeout", "0"]),
        ("listinvalidations", &["listinvalidations", "E1EXAMPLE", "--paths"]),
        ("ls", &["ls"]),
        ("ls --tenants", &["ls", "--tenants"]),
        ("sites", &["sites"]),
        ("sites BUCKET", &["sites", "site"]),
        ("enable", &["enable", "site", "--dry-run"]),
        ("doctor", &["doctor", "site"]),
        ("verify", &["verify", "https://www.example.com/"]),
        ("cost", &["cost"]),
        ("explain", &["explain", "s3://site/live/a.html"]),
        ("invoke", &["invoke", "events/put.json"]),
        ("plan", &["plan", "events/put.json"]),
    ];
    for (command, arguments) in commands {
        let local: &[&str] = match command {
            "plan" => &[],
            "ls --tenants" => &["--distributions", "samples/tenants.json"],
            _ => &["--local"],
        };
        let run = |more: &str| cfadmin(&[arguments, local, &[more]].concat(), &[], "");
        let mut documents = lines(&run("--json"));
        if command == "sites BUCKET" {
            documents.retain(|document| document.get("bucket").is_some());
        }
        assert!(!documents.is_empty(), "{command}");
        for mut document in documents {
            let mark = document.as_object_mut().expect("an object").remove("simulated");
            assert_eq!(mark, (command != "plan").then_some(json!(true)), "{command}");
            let mut known = fields(command);
            known.retain(|field| *field != "ignored" || command != "explain");
            known.sort_unstable();
            let shown: Vec<&String> = document.as_object().expect("an object").keys().collect();
            assert_eq!(shown, known, "{command}");
        }
        assert_eq!(text(&run("--quiet").stdout), "", "{command}");
        assert_eq!(run("--quiet").status.code(), run("--json").status.code(), "{command}");
    }
}
