//! Paths as people type them: what becomes of them, and which of them are superfluous.

use std::collections::BTreeSet;

use cloudfront_invalidator::{
    path::{Item, Kind, why_widened},
    text::counted,
};
use percent_encoding::percent_decode;

/// The items of a request, and notes about them for the person who typed them.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub(crate) items: Vec<Item>,
    pub(crate) notes: Vec<String>,
    /// The reason why the request purges everything. `None` if the person typed that.
    pub(crate) why_everything: Option<String>,
}

impl Typed {
    /// Adds what became of a typed path or of a key. Notes if it is wider than what was typed.
    pub(crate) fn add(&mut self, text: &[u8], items: Vec<Item>) {
        let is_wildcard = |item: &&Item| item.kind() == Kind::Wildcard;
        let wider = items.iter().find(is_wildcard).filter(|item| !is_typed_wildcard(text, item));
        if let Some(item) = wider {
            let decoded: Vec<u8> = percent_decode(text).collect();
            let why =
                why_widened(text).or_else(|| why_widened(&decoded)).unwrap_or("no exact path is certain");
            let note = format!("{:?} is purged as {item}: {why}", String::from_utf8_lossy(text));
            if *item == Item::everything() {
                self.why_everything = Some(note);
            } else {
                self.notes.push(note);
            }
        }
        self.items.extend(items);
    }

    /// Sorts the items, and drops those that another one covers. Notes what it drops.
    pub(crate) fn reduce(&mut self) {
        self.items.sort_unstable();
        self.items.dedup();
        let wildcards: BTreeSet<String> = {
            let wildcards = self.items.iter().filter(|item| item.kind() == Kind::Wildcard);
            wildcards.map(|item| item.stem().to_owned()).collect()
        };
        let mut tags = BTreeSet::new();
        let mut dropped: Vec<(Item, String)> = Vec::new();
        self.items.retain(|item| {
            let cover = match item.kind() {
                Kind::Tag => {
                    (!tags.insert(item.as_str().to_ascii_lowercase())).then(|| "a tag like it".to_owned())
                }
                kind => {
                    shorter(item, kind).find_map(|stem| wildcards.get(stem)).map(|stem| format!("{stem}*"))
                }
            };
            dropped.extend(cover.iter().map(|cover| (item.clone(), cover.clone())));
            cover.is_none()
        });
        if let Some((item, cover)) = dropped.first() {
            self.notes.push(match dropped.len() {
                1 => format!("{item} is left out: {cover} covers it"),
                more => format!(
                    "{} are left out, since others cover them: {cover} covers {item}",
                    counted(more, "path")
                ),
            });
        }
    }
}

/// Returns whether the text is the wildcard itself, and not one that only its characters need.
fn is_typed_wildcard(text: &[u8], item: &Item) -> bool {
    let text = String::from_utf8_lossy(text);
    text.ends_with('*') && text.parse::<Item>().as_ref() == Ok(item) && !text.contains(['~', '\''])
}

/// Returns the stems of the wildcards that cover an item, apart from the item itself.
fn shorter(item: &Item, kind: Kind) -> impl Iterator<Item = &str> {
    let stem = item.stem();
    let longest = stem.len() - usize::from(kind == Kind::Wildcard);
    (1..=longest).filter_map(move |end| stem.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(texts: &[&str]) -> Typed {
        let mut typed = Typed::default();
        for text in texts {
            typed.add(text.as_bytes(), vec![text.parse().expect("an item")]);
        }
        typed.reduce();
        typed
    }

    #[test]
    fn what_another_item_covers_is_dropped() {
        for (texts, left) in [
            (&["/docs/a", "/docs/*", "/docs", "/doc"][..], &["/doc", "/docs", "/docs/*"][..]),
            (&["/a*", "/a", "/ab*", "/b"], &["/a*", "/b"]),
            (&["#A", "#a", "/*", "/x"], &["#A", "/*"]),
            (&["/a", "/a"], &["/a"]),
        ] {
            let typed = typed(texts);
            let items: Vec<&str> = typed.items.iter().map(Item::as_str).collect();
            assert_eq!(items, left);
        }
        assert_eq!(typed(&["/docs/a", "/docs/*"]).notes, ["/docs/a is left out: /docs/* covers it"]);
        assert_eq!(typed(&["/docs/a", "/docs/b*"]).notes, [""; 0]);
    }

    #[test]
    fn what_is_wider_than_typed_is_noted() {
        for (text, note) in [
            ("/it's", "\"/it's\" is purged as /it*: CloudFront may not match \"'\""),
            ("/a%7Eb", "\"/a%7Eb\" is purged as /a*: CloudFront cannot match \"~\""),
            ("/a~b*", "\"/a~b*\" is purged as /a*: CloudFront cannot match \"~\""),
        ] {
            assert_eq!(typed(&[text]).notes, [note]);
        }
        assert_eq!(
            typed(&["/a*", "/b", "/*"]).notes,
            ["2 paths are left out, since others cover them: /* covers /a*"]
        );
        let why = "\"~joe\" is purged as /*: CloudFront cannot match \"~\"";
        assert_eq!(typed(&["~joe"]).why_everything.as_deref(), Some(why));
        assert_eq!(typed(&["/*"]).why_everything, None);
    }
}
