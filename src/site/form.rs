//! The forms of an object's path.

use std::{borrow::Cow, fmt};

use serde::Serialize;

/// The paths of an object besides its own, as this deployment is configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forms {
    /// The name of the document that viewers get for a directory. Empty for none.
    pub index_document: String,
    /// Whether viewers also request a directory without its slash.
    pub bare_directories: bool,
    /// Whether viewers also request `.html` pages without the suffix.
    pub clean_urls: bool,
    /// Whether query strings are in the cache key, so that every path becomes the wildcard `/path*`.
    /// `None` to read it from the distribution's configuration.
    pub query_strings: Option<bool>,
}

impl Forms {
    /// Returns the other paths of an object, which is given by its own path.
    pub(super) fn of<'k>(&self, object: &'k [u8]) -> impl Iterator<Item = (Cow<'k, [u8]>, Form)> + use<'k> {
        let index = self.index_document.as_bytes();
        let directory = object
            .strip_suffix(index)
            .filter(|directory| !index.is_empty() && (directory.is_empty() || directory.ends_with(b"/")));
        let bare = directory.filter(|_| self.bare_directories).and_then(|path| path.strip_suffix(b"/"));
        let page = object
            .strip_suffix(b".html")
            .filter(|page| self.clean_urls && !page.is_empty() && !page.ends_with(b"/"));
        let forms = [(directory, Form::Directory), (bare, Form::BareDirectory), (page, Form::CleanUrl)];
        forms.into_iter().filter_map(|(path, form)| Some((Cow::Borrowed(path?), form)))
    }
}

/// How a path follows from a change or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The object's own path.
    Object,
    /// `/`, because the object is the default root object.
    Root,
    /// The directory whose index document the object is.
    Directory,
    /// That directory without its slash.
    BareDirectory,
    /// The page without `.html`.
    CleanUrl,
    /// One of these with any query string.
    AnyQuery,
    /// `/*`, because CloudFront caches this error page under every path that failed.
    ErrorPage,
    /// A wildcard for a behavior's pattern, because only the behavior's edge function knows the
    /// paths of the object.
    EdgeFunction,
    /// `/*`, because the event deleted objects without naming them.
    WholeBucket,
    /// A path from a manual event.
    #[serde(rename = "typed")]
    Request,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Root => "default root object:",
            Self::Directory => "directory of",
            Self::BareDirectory => "directory without slash of",
            Self::CleanUrl => "page without .html of",
            Self::AnyQuery => "with any query string, of",
            Self::ErrorPage => "cached wherever an error showed",
            Self::EdgeFunction => "wherever a function at the edge serves",
            Self::WholeBucket => "objects that the event does not name, of",
            Self::Request => "typed",
        })
    }
}
