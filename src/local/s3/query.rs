//! Reads the parameters of a call.

use percent_encoding::percent_decode_str;

use super::{answer::Error, xml::Encoding};

/// Maximum number of entries on a page.
const PAGE: usize = 1_000;

/// The parameters in a call's URL, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query string of a URL.
    pub(super) fn of(text: &str) -> Result<Self, Error> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// Refuses parameters that the simulation does not know. The SDKs add `x-id`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.iter().find(|(name, _)| !known.contains(&&**name) && name != "x-id") {
            Some(_) => Err(Error::not_implemented()),
            None => Ok(()),
        }
    }

    pub(super) fn max_keys(&self) -> Result<usize, Error> {
        let Some(text) = self.get("max-keys") else { return Ok(PAGE) };
        let number = text.parse::<i32>().ok().and_then(|number| usize::try_from(number).ok());
        let why = "Provided max-keys not an integer or within integer range";
        let number = number.ok_or_else(|| Error::invalid_argument(why, "max-keys", text))?;
        Ok(number.min(PAGE))
    }

    pub(super) fn encoding(&self) -> Result<Encoding, Error> {
        match self.get("encoding-type") {
            None => Ok(Encoding::Plain),
            Some("url") => Ok(Encoding::Url),
            Some(other) => {
                let why = "Invalid Encoding Method specified in Request";
                Err(Error::invalid_argument(why, "encoding-type", other))
            }
        }
    }
}

/// Decodes a part of a URL, in which a plus is a space.
pub(super) fn decode(text: &str) -> Result<String, Error> {
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Error::new(400, "InvalidURI", "Couldn't parse the specified URI.")),
    }
}
