//! Translates errors of AWS's SDK: what happened and what to do next, in one line.

use cloudfront_invalidator::cloudfront::Error;

use crate::account::Connection;

/// Returns an error in one line, with the next step. `--debug` shows the error itself.
pub(crate) fn explain(error: &Error, connection: &Connection) -> String {
    translate(error, connection).unwrap_or_else(|| match error.operation() {
        Some(operation) if error.is_denied() => format!("cloudfront:{operation} is not allowed: {error}"),
        _ => format!("{}: {error}", error.error_type()),
    })
}

/// Translates an error of the caller's credentials or connection. `None` if the error is about
/// CloudFront, and readable as it is.
pub(crate) fn translate(error: &Error, connection: &Connection) -> Option<String> {
    let text = error.to_string();
    let profile = connection.profile_name();
    match text.split_once(" (HTTP ") {
        Some((code, _)) => of_answer(code, &text, &profile),
        None => of_credentials(&text, &profile).or_else(|| of_connection(&text, connection)),
    }
}

/// Translates an answer about the caller's keys. `None` for any other answer.
fn of_answer(code: &str, text: &str, profile: &str) -> Option<String> {
    let is_late = text.contains("Signature expired") || text.contains("Signature not yet current");
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" => format!(
            "the credentials of {profile} have expired ({code}); log in again, with aws sso login for single sign-on"
        ),
        "RequestExpired" | "RequestInTheFuture" | "RequestTimeTooSkewed" => clock(code),
        "SignatureDoesNotMatch" | "InvalidSignatureException" if is_late => clock(code),
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => format!(
            "the signature is wrong ({code}): the secret access key of {profile} does not belong to its access key \
             id; correct it with aws configure"
        ),
        "InvalidClientTokenId" | "UnrecognizedClientException" => format!(
            "AWS does not know the access key of {profile} ({code}); check it with aws sts get-caller-identity, \
             correct it with aws configure"
        ),
        _ => return None,
    })
}

fn clock(code: &str) -> String {
    format!("the clocks of this machine and of CloudFront differ ({code}); set this machine's clock")
}

/// Translates an error of the search for credentials. `None` for any other error.
fn of_credentials(text: &str, profile: &str) -> Option<String> {
    let has = |part: &str| text.contains(part);
    if let Some((_, rest)) = text.split_once("profile `")
        && let Some((name, rest)) = rest.split_once("` was not defined")
    {
        let by = if rest.contains("referenced from the root") {
            String::new()
        } else {
            format!(", and {profile} refers to it (source_profile)")
        };
        return Some(format!(
            "profile {name:?} is not in the AWS configuration{by}; aws configure list-profiles shows those that are"
        ));
    }
    let is_sso = has("SSO token") || has(".aws/sso/cache") || has("GetRoleCredentials");
    if is_sso || has("UnauthorizedException") {
        let option =
            profile.strip_prefix("profile ").map_or(String::new(), |name| format!(" --profile {name}"));
        return Some(format!(
            "the SSO session of {profile} is over, or there is none; log in with aws sso login{option}"
        ));
    }
    if has("Missing Region") {
        return Some(
            "no region; pass --region, set AWS_REGION, or run aws configure set region NAME".to_owned(),
        );
    }
    if has("no credentials found in chain") || has("IMDS session token") {
        return Some(
            "no credentials; run aws configure or aws sso login, or name a profile with --profile or AWS_PROFILE"
                .to_owned(),
        );
    }
    let failed =
        ["ProfileFile provider could not be built: ", "an error occurred while loading credentials: "];
    let (_, why) = failed.iter().find_map(|begin| text.split_once(begin))?;
    Some(format!(
        "the credentials of {profile} cannot be loaded: {}; check them with aws sts get-caller-identity",
        why.rsplit("dispatch failure: ")
            .next()
            .unwrap_or(why)
            .trim_end_matches(" Stderr:")
            .trim_end_matches('.')
    ))
}

/// Translates an error of the connection. `None` for any other error.
fn of_connection(text: &str, connection: &Connection) -> Option<String> {
    let endpoint = connection.endpoint();
    let name = endpoint.as_deref().unwrap_or("CloudFront");
    let check = if endpoint.is_some() { "check the endpoint's URL" } else { "check the network" };
    let has = |part: &str| text.contains(part);
    Some(if has("failed to apply endpoint") {
        format!("invalid endpoint {name:?}; write it with its scheme, as https://localhost:4566")
    } else if has("valid host label") {
        "invalid region; write it as eu-central-1".to_owned()
    } else if has("dns error") {
        format!("the host of {name} is unknown; {check}")
    } else if has("client error (Connect)") {
        format!("cannot connect to {name}: {}; {check}", last(text))
    } else if let Some(status) = text.strip_prefix("HTTP ").and_then(|rest| rest.get(..3)) {
        format!("{name} answered HTTP {status}, but not in the words of CloudFront; {check}")
    } else {
        let (_, cause) = text.split_once("dispatch failure: ")?;
        format!("the call to {name} failed: {}", last(cause))
    })
}

/// Returns the last of the causes in a chain, which says most.
fn last(chain: &str) -> &str {
    let mut causes = chain.rsplit(": ");
    causes.find(|cause| cause.len() > 1).unwrap_or(chain)
}
