//! Reads whether a bucket keeps what tells whether an upload changed an object.

use std::time::Instant;

use serde::Serialize;

use super::{
    Bucket, Error,
    call::Call,
    error::Kind,
    xml::{Invalid, read},
};

/// The settings of a bucket that decide whether an upload can be compared with the version that it
/// replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The state of versioning. `None` if that could not be read.
    pub versioning: Option<Versioning>,
    /// The time for which the bucket keeps replaced versions. `None` if that could not be read.
    pub replaced: Option<Replaced>,
    /// Whether it encrypts objects with keys of KMS by default. The entity tags of such objects differ
    /// although their contents are equal. `None` if that could not be read.
    pub uses_kms: Option<bool>,
    /// The reasons why something could not be read.
    #[serde(serialize_with = "texts")]
    pub unknown: Vec<Error>,
}

/// The state of a bucket's versioning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// A new version replaces the current one, which stays.
    Enabled,
    /// A new version overwrites the current one, unless that is from a time with versioning.
    Suspended,
    /// The bucket never had versioning.
    Off,
}

/// The time for which a bucket keeps replaced versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaced {
    /// Without an expiration. Replaced versions stay, and cost money, until somebody deletes them.
    Kept,
    /// The number of days after which they expire, counted from their replacement.
    ExpireAfterDays(u32),
    /// Only those of some objects expire.
    ExpireInPart,
}

impl Bucket<'_> {
    /// Reads the bucket's settings for versions and encryption. Never fails: what cannot be read is
    /// `None`, and the reason is in [`Readiness::unknown`].
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLifecycleConfiguration.html>
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html>
    pub async fn readiness(&self, deadline: Instant) -> Readiness {
        let mut unknown = Vec::new();
        let mut known = |error| unknown.push(error);
        let versioning = self.setting("GetBucketVersioning", "versioning", versioning, deadline).await;
        let replaced = self.setting("GetBucketLifecycleConfiguration", "lifecycle", replaced, deadline).await;
        let uses_kms = self.setting("GetBucketEncryption", "encryption", uses_kms, deadline).await;
        Readiness {
            versioning: versioning.map_err(&mut known).ok(),
            replaced: replaced.map_err(&mut known).ok(),
            uses_kms: uses_kms.map_err(&mut known).ok(),
            unknown,
        }
    }

    /// Reads a configuration of the bucket. One that does not exist is like one without content.
    async fn setting<T>(
        &self,
        operation: &'static str,
        name: &'static str,
        interpret: impl Fn(Option<&[u8]>) -> Result<T, Invalid>,
        deadline: Instant,
    ) -> Result<T, Error> {
        let call = Call::of_bucket(operation).with(name, b"");
        let answer = match self.call(&call, deadline).await {
            Ok(answer) => Some(answer.body),
            Err(error) if error.kind == Kind::NotConfigured => None,
            Err(error) => return Err(error),
        };
        interpret(answer.as_deref()).map_err(|why| self.invalid(&call, &why))
    }
}

fn versioning(answer: Option<&[u8]>) -> Result<Versioning, Invalid> {
    let mut versioning = Versioning::Off;
    let mut visit = |parent: &str, name: &str, text: &str| {
        if (parent, name) == (VERSIONING, "Status") {
            versioning = match text {
                "Enabled" => Versioning::Enabled,
                "Suspended" => Versioning::Suspended,
                _ => return Err(Invalid::Missing("Status")),
            };
        }
        Ok(())
    };
    if let Some(answer) = answer {
        read(answer, VERSIONING, &mut visit)?;
    }
    Ok(versioning)
}

const VERSIONING: &str = "VersioningConfiguration";

fn replaced(answer: Option<&[u8]>) -> Result<Replaced, Invalid> {
    let mut all: Option<u32> = None;
    let (mut rule, mut in_part) = (Rule::default(), false);
    let mut visit = |parent: &str, name: &str, text: &str| {
        match (parent, name) {
            ("NoncurrentVersionExpiration", "NoncurrentDays") => {
                rule.days = Some(text.parse().map_err(|_| Invalid::Missing("NoncurrentDays"))?);
            }
            ("Rule", "Status") => rule.is_enabled = text == "Enabled",
            ("Rule" | "Filter", "Prefix") if text.is_empty() => {}
            ("Rule", "Prefix") | ("Filter" | "And", _) => rule.is_partial = true,
            (_, "Rule") => match std::mem::take(&mut rule) {
                Rule { days: Some(_), is_enabled: true, is_partial: true } => in_part = true,
                Rule { days: Some(days), is_enabled: true, .. } => {
                    all = Some(all.map_or(days, |others| others.min(days)));
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    };
    if let Some(answer) = answer {
        read(answer, "LifecycleConfiguration", &mut visit)?;
    }
    Ok(match all {
        Some(days) => Replaced::ExpireAfterDays(days),
        None if in_part => Replaced::ExpireInPart,
        None => Replaced::Kept,
    })
}

/// A lifecycle rule, as far as it concerns replaced versions.
#[derive(Default)]
struct Rule {
    days: Option<u32>,
    is_enabled: bool,
    /// Whether it applies only to some objects.
    is_partial: bool,
}

fn uses_kms(answer: Option<&[u8]>) -> Result<bool, Invalid> {
    let mut uses_kms = false;
    let mut visit = |_: &str, name: &str, text: &str| {
        uses_kms |= name == "SSEAlgorithm" && text.starts_with("aws:kms");
        Ok(())
    };
    if let Some(answer) = answer {
        read(answer, "ServerSideEncryptionConfiguration", &mut visit)?;
    }
    Ok(uses_kms)
}

/// Serializes errors as texts.
fn texts<S: serde::Serializer>(errors: &[Error], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioning_is_off_unless_s3_names_a_status() {
        let read = |content: &str| {
            let answer = format!("<VersioningConfiguration>{content}</VersioningConfiguration>");
            versioning(Some(answer.as_bytes()))
        };
        assert_eq!(read("<Status>Enabled</Status><MfaDelete>Disabled</MfaDelete>"), Ok(Versioning::Enabled));
        assert_eq!(read("<Status>Suspended</Status>"), Ok(Versioning::Suspended));
        assert_eq!(read(""), Ok(Versioning::Off));
        assert_eq!(read("<Status>on</Status>"), Err(Invalid::Missing("Status")));
    }

    #[test]
    fn only_an_enabled_rule_for_all_objects_expires_all_replaced_versions() {
        let read = |rules: &str| {
            replaced(Some(format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>").as_bytes()))
        };
        let rule = |filter: &str, status: &str, days: u32| {
            format!(
                "<Rule><ID>x</ID>{filter}<Status>{status}</Status><NoncurrentVersionExpiration>\
                 <NoncurrentDays>{days}</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions>\
                 </NoncurrentVersionExpiration></Rule>"
            )
        };
        for all in ["", "<Filter/>", "<Filter></Filter>", "<Filter><Prefix/></Filter>", "<Prefix></Prefix>"] {
            assert_eq!(read(&rule(all, "Enabled", 30)), Ok(Replaced::ExpireAfterDays(30)), "{all}");
        }
        for some in [
            "<Filter><Prefix>logs/</Prefix></Filter>",
            "<Prefix>logs/</Prefix>",
            "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>",
            "<Filter><And><Prefix></Prefix><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>",
            "<Filter><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></Filter>",
        ] {
            assert_eq!(read(&rule(some, "Enabled", 30)), Ok(Replaced::ExpireInPart), "{some}");
            let both = [rule(some, "Enabled", 1), rule("", "Enabled", 7)].concat();
            assert_eq!(read(&both), Ok(Replaced::ExpireAfterDays(7)), "{some}");
        }
        let other = "<Rule><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>";
        for none in [String::new(), other.to_owned(), rule("", "Disabled", 30)] {
            assert_eq!(read(&none), Ok(Replaced::Kept), "{none}");
        }
        assert_eq!(replaced(None), Ok(Replaced::Kept), "no configuration");
        let shortest = [rule("", "Enabled", 30), rule("", "Enabled", 7)].concat();
        assert_eq!(read(&shortest), Ok(Replaced::ExpireAfterDays(7)));
    }

    #[test]
    fn any_algorithm_of_kms_counts() {
        let read = |algorithm: &str| {
            uses_kms(Some(
                format!(
                    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                     <SSEAlgorithm>{algorithm}</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
                     <BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
                )
                .as_bytes(),
            ))
        };
        assert_eq!([read("AES256"), read("aws:kms"), read("aws:kms:dsse")], [Ok(false), Ok(true), Ok(true)]);
        assert_eq!(uses_kms(None), Ok(false), "no configuration");
    }
}
