//! Reads S3's answers, which are XML.

use quick_xml::{
    Reader,
    escape::resolve_xml_entity,
    events::{BytesRef, Event},
};
use thiserror::Error;

/// Maximum depth of an element. S3's own answers have at most 5.
const DEEPEST: usize = 16;

/// The reason why an answer is not what S3 documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Invalid {
    /// An answer that is not complete and harmless XML.
    #[error("the answer is not valid XML")]
    Xml,
    /// An answer that lacks an element or a header, or has one with an invalid value.
    #[error("the answer has no valid {0}")]
    Missing(&'static str),
}

/// Reads a document with this root. Calls `visit` at the end of each element with the name of its
/// parent, its own name, and its text. So it visits the elements in an element before the element itself.
///
/// # Errors
///
/// Fails if the document is not XML, has another root, is incomplete, is too deep, or defines entities.
/// Returns the error of `visit` as well.
pub(super) fn read(
    document: &[u8],
    root: &'static str,
    visit: &mut dyn FnMut(&str, &str, &str) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    let document = std::str::from_utf8(document).map_err(|_| Invalid::Xml)?;
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut is_complete = false;
    loop {
        match reader.read_event().map_err(|_| Invalid::Xml)? {
            Event::Start(start) => {
                let name = start.local_name().into_inner().to_owned();
                if open.is_empty() && (is_complete || name != root) {
                    return Err(Invalid::Missing(root));
                }
                if open.len() == DEEPEST {
                    return Err(Invalid::Xml);
                }
                open.push(name);
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => resolve(&reference, &mut text)?,
            Event::End(_) => {
                // The reader has checked that the names match.
                let name = open.pop().unwrap_or_default();
                match open.last() {
                    Some(parent) => visit(parent, &name, &text)?,
                    None => is_complete = true,
                }
                text.clear();
            }
            // It may define entities.
            Event::DocType(_) => return Err(Invalid::Xml),
            Event::Eof if is_complete => return Ok(()),
            Event::Eof => return Err(Invalid::Missing(root)),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
}

/// Appends the character to which a reference refers, such as `&amp;` or `&#13;`.
fn resolve(reference: &BytesRef<'_>, text: &mut String) -> Result<(), Invalid> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => text.push(character),
        Ok(None) => text.push_str(resolve_xml_entity(&reference.xml10_content()).ok_or(Invalid::Xml)?),
        Err(_) => return Err(Invalid::Xml),
    }
    Ok(())
}

/// An error that S3 answers. The code is empty if the answer has none.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) message: String,
}

impl Problem {
    /// Reads an answer as far as possible: a proxy may have sent it.
    pub(super) fn of(answer: &[u8]) -> Self {
        let mut problem = Self::default();
        let _ = read(answer, "Error", &mut |parent, name, text| {
            match (parent, name) {
                ("Error", "Code") => text.clone_into(&mut problem.code),
                ("Error", "Message") => text.clone_into(&mut problem.message),
                _ => {}
            }
            Ok(())
        });
        problem
    }
}
