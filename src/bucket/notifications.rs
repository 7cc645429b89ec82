//! Reads where a bucket sends its events, and makes it send them to EventBridge, too.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html>

use std::time::Instant;

use serde::Serialize;

use super::{
    Bucket, Error,
    call::Call,
    xml::{Invalid, read},
};

/// The root of a notification configuration.
const ROOT: &str = "NotificationConfiguration";

/// The element that makes S3 send events to EventBridge.
const EVENT_BRIDGE: &str = "EventBridgeConfiguration";

/// The elements that name a destination, each with the element around it.
const DESTINATIONS: [(&str, &str); 3] = [
    ("TopicConfiguration", "Topic"),
    ("QueueConfiguration", "Queue"),
    ("CloudFunctionConfiguration", "CloudFunction"),
];

/// The notification configuration of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// The configuration, as S3 sent it.
    document: String,
    /// Whether the bucket sends all its events to EventBridge.
    pub event_bridge: bool,
    /// The topics, queues and functions that receive events, in configuration order.
    pub destinations: Vec<Destination>,
}

/// A topic, queue or function that receives events of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The ARN.
    pub arn: String,
    /// The types of events that it receives, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// The beginning of the keys whose events it receives. Empty for all keys.
    pub prefix: String,
    /// The end of the keys whose events it receives. Empty for all keys.
    pub suffix: String,
}

impl Destination {
    /// Returns the pattern of the keys whose events it receives, such as `docs/*.html`. `None` for all keys.
    #[must_use]
    pub fn filter(&self) -> Option<String> {
        let is_set = !self.prefix.is_empty() || !self.suffix.is_empty();
        is_set.then(|| format!("{}*{}", self.prefix, self.suffix))
    }
}

impl Bucket<'_> {
    /// Reads the bucket's notification configuration.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html>
    ///
    /// # Errors
    ///
    /// Returns the error that S3 answers, or the reason why there is no valid answer.
    pub async fn notifications(&self, deadline: Instant) -> Result<Notifications, Error> {
        let call = Call::of_bucket("GetBucketNotificationConfiguration").with("notification", b"");
        let answer = self.call(&call, deadline).await?;
        Notifications::of(&answer.body).map_err(|why| self.invalid(&call, &why))
    }

    /// Makes the bucket send its events to EventBridge. `present` is its present configuration, which stays
    /// otherwise as it is. S3 does not check whether its destinations still exist: one that is gone would prevent
    /// the change.
    ///
    /// The call replaces the configuration, so a change that somebody else made since `present` was read is lost.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html>
    ///
    /// # Errors
    ///
    /// Returns the error that S3 answers, or the reason why there is no valid answer.
    pub async fn turn_on_event_bridge(
        &self,
        present: &Notifications,
        deadline: Instant,
    ) -> Result<(), Error> {
        let headers = &[("x-amz-skip-destination-validation", "true"), ("content-type", "application/xml")];
        let put = |body| {
            Call::that_puts("PutBucketNotificationConfiguration", headers, body).with("notification", b"")
        };
        match present.with_event_bridge() {
            Some(body) => self.call(&put(body), deadline).await.map(drop),
            None => Err(self.invalid(&put(String::new()), &Invalid::Missing(ROOT))),
        }
    }
}

impl Notifications {
    fn of(answer: &[u8]) -> Result<Self, Invalid> {
        let mut found = Self::default();
        let (mut destination, mut rule_name) = (Destination::default(), String::new());
        let mut visit = |parent: &str, name: &str, text: &str| {
            match (parent, name) {
                (ROOT, EVENT_BRIDGE) => found.event_bridge = true,
                (ROOT, _) if DESTINATIONS.iter().any(|(outer, _)| *outer == name) => {
                    found.destinations.push(std::mem::take(&mut destination));
                }
                (_, "Event") => destination.events.push(text.to_owned()),
                ("FilterRule", "Name") => text.clone_into(&mut rule_name),
                ("FilterRule", "Value") if rule_name.eq_ignore_ascii_case("prefix") => {
                    text.clone_into(&mut destination.prefix);
                }
                ("FilterRule", "Value") => text.clone_into(&mut destination.suffix),
                place if DESTINATIONS.contains(&place) => text.clone_into(&mut destination.arn),
                _ => {}
            }
            Ok(())
        };
        read(answer, ROOT, &mut visit)?;
        found.document = String::from_utf8(answer.to_vec()).map_err(|_| Invalid::Xml)?;
        Ok(found)
    }

    /// Returns the configuration with EventBridge in it, and everything else as it is. `None` if the document is not
    /// written as S3 writes it, so that something might get lost.
    fn with_event_bridge(&self) -> Option<String> {
        if self.event_bridge {
            return Some(self.document.clone());
        }
        let end = format!("</{ROOT}>");
        if let Some(at) = self.document.rfind(&end) {
            return Some(format!("{}<{EVENT_BRIDGE}/>{}", &self.document[..at], &self.document[at..]));
        }
        // A root without content has no end tag.
        let is_empty = self.destinations.is_empty() && self.document.trim_end().ends_with("/>");
        let start = format!("<{ROOT} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        is_empty.then(|| format!("{start}<{EVENT_BRIDGE}/>{end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <TopicConfiguration><Id>a</Id><Topic>arn:aws:sns:eu-west-1:1:t</Topic>\
        <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>\
        <Filter><S3Key><FilterRule><Name>Prefix</Name><Value>a &amp; b/</Value></FilterRule>\
        <FilterRule><Name>Suffix</Name><Value>.html</Value></FilterRule></S3Key></Filter></TopicConfiguration>\
        <CloudFunctionConfiguration><CloudFunction>arn:aws:lambda:eu-west-1:1:function:f</CloudFunction>\
        <Event>s3:ObjectRestore:*</Event></CloudFunctionConfiguration></NotificationConfiguration>\n";

    #[test]
    fn destinations_are_read_with_their_events_and_filters() {
        let found = Notifications::of(OTHERS.as_bytes()).expect("a configuration");
        assert!(!found.event_bridge);
        let text = str::to_owned;
        assert_eq!(
            found.destinations,
            [
                Destination {
                    arn: text("arn:aws:sns:eu-west-1:1:t"),
                    events: ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"].map(text).to_vec(),
                    prefix: text("a & b/"),
                    suffix: text(".html"),
                },
                Destination {
                    arn: text("arn:aws:lambda:eu-west-1:1:function:f"),
                    events: vec![text("s3:ObjectRestore:*")],
                    ..Destination::default()
                },
            ]
        );
        assert!(Notifications::of(b"<Error/>").is_err());
    }

    #[test]
    fn event_bridge_is_added_and_everything_else_stays() {
        let present = Notifications::of(OTHERS.as_bytes()).expect("a configuration");
        let document = present.with_event_bridge().expect("a configuration");
        assert_eq!(document.replace("<EventBridgeConfiguration/>", ""), OTHERS);
        let changed = Notifications::of(document.as_bytes()).expect("a configuration");
        assert!(changed.event_bridge);
        assert_eq!(changed.destinations, present.destinations);
        assert_eq!(changed.with_event_bridge(), Some(document), "twice changes nothing");
        let prefixed = OTHERS.replace("<Notif", "<s3:Notif").replace("</Notif", "</s3:Notif");
        let prefixed = Notifications::of(prefixed.as_bytes()).expect("a configuration");
        assert_eq!(prefixed.with_event_bridge(), None, "what cannot be changed safely is not changed");
        for empty in ["<NotificationConfiguration/>", "<NotificationConfiguration xmlns=\"x\" />\n"] {
            let document = Notifications::of(empty.as_bytes()).expect("a configuration").with_event_bridge();
            let document = document.expect("a configuration");
            let changed = Notifications::of(document.as_bytes()).expect("a configuration");
            assert!(changed.event_bridge && changed.destinations.is_empty(), "{document}");
        }
    }
}
