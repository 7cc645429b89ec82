//! Keys and typed text to items: encoding, widening and errors.

use cloudfront_invalidator::path::{Item, Kind, MAX_LENGTH, ParseItemError, Spelling, why_widened};
use percent_encoding::percent_decode_str;
use proptest::{collection::vec, prelude::*, sample::select};

fn key(key: &[u8]) -> String {
    Item::from_key(key).to_string()
}

#[track_caller]
fn typed(text: &str) -> String {
    text.parse::<Item>().expect("an item").to_string()
}

#[track_caller]
fn refused(text: &str) -> String {
    text.parse::<Item>().expect_err("an error").to_string()
}

#[test]
fn special_characters_in_keys_are_escaped() {
    assert_eq!(key(b""), "/");
    assert_eq!(key(b"a b"), "/a%20b");
    assert_eq!(key(b"100%"), "/100%25");
    assert_eq!(key(b"a&b=c;d:e@f,g$h!i(j)"), "/a&b=c;d:e@f,g$h!i(j)");
    assert_eq!(key(br"<>"), "/%3C%3E");
    assert_eq!(key(br#""{}|\^`"#), "/%22%7B%7D%7C%5C%5E%60");
    assert_eq!(key(b"a\0\x1f\x7f"), "/a%00%1F%7F");
    assert_eq!(key(b"../a/./b//"), "/../a/./b//");
    assert_eq!(key(b"photos/"), "/photos/");
    assert_eq!(key(b"\xff\xfe"), "/%FF%FE");
}

#[test]
fn keys_that_cloudfront_cannot_match_are_widened() {
    assert_eq!(key(b"~"), "/*");
    assert_eq!(key(b"a/b'c~d"), "/a/b*");
    assert_eq!(key("é~".as_bytes()), "/%C3%A9*");
    assert_eq!(key(b"x**"), "/x**");
    assert_eq!(why_widened(b"a~b'"), Some("CloudFront cannot match \"~\""));
    assert_eq!(why_widened(b"a'b~"), Some("CloudFront may not match \"'\""));
    assert_eq!(why_widened(b"a*"), Some("a \"*\" at the end is always a wildcard"));
    assert_eq!(why_widened("é".repeat(700).as_bytes()), Some("longer than CloudFront accepts"));
    assert_eq!(why_widened(b"a*b"), None);
}

#[test]
fn a_key_that_is_too_long_is_cut_between_characters() {
    // S3 keys are never this long, but an event can contain any text.
    let long = key("é".repeat(2_000).as_bytes());
    assert_eq!(long.len(), 1 + 6 * 666 + 1);
    assert!(long.ends_with("%C3%A9*"));
    assert_eq!(key(&[b'a'; 3_999]).len(), MAX_LENGTH);
    assert_eq!(key(&[b'a'; 4_000]), format!("/{}*", "a".repeat(3_998)));
    assert_eq!(key(&[&[b'a'; 3_999][..], b"~"].concat()).len(), MAX_LENGTH);
}

#[test]
fn typed_text_becomes_an_encoded_item() {
    assert_eq!(typed("/"), "/");
    assert_eq!(typed("*"), "/*");
    assert_eq!(typed("a/b*"), "/a/b*");
    assert_eq!(typed("/a%20b%zz%2"), "/a%20b%25zz%252");
    assert_eq!(typed("/a%e9"), "/a%e9");
    assert_eq!(typed("/a+b"), "/a+b");
    assert_eq!(typed("/é?q=ü&r=[1]"), "/%C3%A9?q=%C3%BC&r=%5B1%5D");
    assert_eq!(typed("/a#b"), "/a%23b");
    assert_eq!(typed("/a~b?c"), "/a*");
    assert_eq!(typed("/a%7Eb"), "/a*");
    assert_eq!(typed("/it%27s*"), "/it*");
    assert_eq!(typed("/a?b=~"), "/a?b=*");
    assert_eq!(typed("#Tag:1"), "#Tag:1");
    assert_eq!("#t".parse::<Item>().map(|item| item.kind()), Ok(Kind::Tag));
}

#[test]
fn errors_quote_the_typed_text_and_give_advice() {
    assert_eq!(refused(""), "\"\" is not a path: write \"/\" for the root, or \"/*\" for everything");
    assert_eq!(
        refused("/a/*/b"),
        "\"/a/*/b\" has a \"*\" before its end, where CloudFront takes it literally and purges nothing: \
         end the path at the first \"*\""
    );
    assert!(refused(" /a").starts_with("\" /a\" begins or ends with white space"));
    assert!(refused("/a\n").contains("begins or ends with white space"));
    assert!(refused("/a/%2a").contains("ends in an escaped \"*\", which is not a wildcard"));
    assert!(refused("d111111abcdef8.cloudfront.net/a").contains("is a URL: write only its path"));
    assert!(refused("/a**").contains("\"/a**\" has a \"*\" before its end"));
    assert_eq!(
        refused("HTTPS://d111111abcdef8.cloudfront.net/a"),
        "\"HTTPS://d111111abcdef8.cloudfront.net/a\" is a URL: write only its path, from the first \"/\" after \
         the host"
    );
    assert!(
        refused(&"é".repeat(700))
            .contains("is 4201 characters long once encoded, and CloudFront accepts 4000")
    );
    let tag = |why: &str, typed: &str| {
        assert_eq!(
            refused(typed),
            format!(
                "{typed:?} is not a valid cache tag: {why}; for a path that begins with \"#\", write \"/%23…\""
            )
        );
    };
    tag("nothing follows the \"#\"", "#");
    tag("a tag is printable ASCII without spaces and commas", "#a b");
    tag("a tag is printable ASCII without spaces and commas", "#a,b");
    tag("a tag is printable ASCII without spaces and commas", "#ä");
    tag("tags have no wildcards", "#a*");
    assert!(refused(&format!("#{}", "a".repeat(257))).contains("a tag has at most 256 characters"));
    assert_eq!(typed(&format!("#{}", "a".repeat(256))).len(), 257);
}

#[test]
fn spaces_and_pluses_have_several_spellings() {
    let spelled = |key: &[u8], spelling| Item::spelled(key, spelling).to_string();
    for (key, escaped, plus_for_space, plain_plus) in [
        ("a b+c", "/a%20b%2Bc", "/a+b%2Bc", "/a%20b+c"),
        ("a%20b%2Bc", "/a%2520b%252Bc", "/a%2520b%252Bc", "/a%2520b%252Bc"),
        (" + ", "/%20%2B%20", "/+%2B+", "/%20+%20"),
        ("a~ +", "/a*", "/a*", "/a*"),
        ("é +*", "/%C3%A9%20%2B*", "/%C3%A9+%2B*", "/%C3%A9%20+*"),
    ] {
        assert_eq!(spelled(key.as_bytes(), Spelling::Escaped), escaped);
        assert_eq!(spelled(key.as_bytes(), Spelling::PlusForSpace), plus_for_space);
        assert_eq!(spelled(key.as_bytes(), Spelling::PlainPlus), plain_plus);
    }
    let any = |key: &str| {
        let items = Item::of_any_endpoint(key.as_bytes());
        items.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(any("ab"), ["/ab"]);
    assert_eq!(any("a b"), ["/a%20b", "/a+b"]);
    assert_eq!(any("a b+c"), ["/a%20b%2Bc", "/a%20b+c", "/a+b%2Bc"]);
    assert_eq!(any("a b~+"), ["/a%20b*", "/a+b*"]);
    assert_eq!(any("a~b c"), ["/a*"]);
}

#[test]
fn text_that_is_clearly_not_a_path_is_refused() {
    let why = |text: &str| {
        let why = refused(text);
        assert!(why.starts_with(&format!("{text:?} ")), "{why}");
        why
    };
    for text in ["C:/Program Files/Git/*", "C:/Program Files/Git/docs/index.html", "d:\\site\\index.html"] {
        assert!(why(text).contains("MSYS_NO_PATHCONV=1"), "{text}");
    }
    for text in
        ["/a /b", "/a.html /b.html /c*", "/docs/* #tag", "/a\n/b", "/a,/b", "/a\t/b", "a.html /b.html"]
    {
        assert!(why(text).contains("seems to be several paths"), "{text}");
    }
    for text in ["s3://my-bucket/a.html", "arn:aws:s3:::my-bucket/a", "file:///a", "E1A2B3C4D5E6F7"] {
        assert!(why(text).contains("not the path of a URL"), "{text}");
    }
    for text in ["./dist/a.html", "../a", "~/site/a", "\\docs\\a.html", "docs\\a.html"] {
        assert!(why(text).contains("is a file path"), "{text}");
    }
    for text in
        ["\"/a\"", "'/a'", "`/a`", "\u{201c}/a\u{201d}", "[\"/a\"]", "{\"paths\": [\"/a\"]}", "<path>/a"]
    {
        assert!(why(text).contains("quotation marks or brackets"), "{text}");
    }
    for text in ["/a\u{200b}", "\u{feff}/a", "/a\u{202e}b", "/soft\u{ad}hyphen"] {
        assert!(why(text).contains("invisible characters"), "{text}");
    }
    for text in ["/https://www.example.com/a", "//d111111abcdef8.cloudfront.net/a", "https:/a", "/http:/a"] {
        assert!(why(text).contains("is a URL"), "{text}");
    }
    assert!(why("/docs/\\*").contains("escaped \"*\""));
    // These look unusual, but are valid in a URL.
    for (text, item) in [
        ("my photo (1).jpg", "/my%20photo%20(1).jpg"),
        ("/a b/c d", "/a%20b/c%20d"),
        ("/go?to=C:/x&then=/a /b", "/go?to=C:/x&then=/a%20/b"),
        ("/a,b,c", "/a,b,c"),
        ("/~user", "/*"),
        ("/a\\b", "/a%5Cb"),
        ("E1/a", "/E1/a"),
        ("/[id].html", "/%5Bid%5D.html"),
        ("/\"a\"", "/%22a%22"),
        (".well-known/a", "/.well-known/a"),
        ("c:d", "/c:d"),
        ("/a\u{301}", "/a%CC%81"),
    ] {
        assert_eq!(typed(text), item);
    }
}

#[test]
fn a_wildcard_never_ends_within_a_character() {
    let cut = |key: &str, len| Item::from_key(key.as_bytes()).wildcard(len).to_string();
    assert_eq!(cut("abc", 3), "/ab*");
    assert_eq!(cut("abc", 0), "/*");
    assert_eq!(cut("a b", 3), "/a*");
    assert_eq!(cut("a b", 4), "/a*");
    assert_eq!(cut("a b", 5), "/a%20*");
    assert_eq!(cut("a€b", 2 + 3), "/a*");
    assert_eq!(cut("a€b", 2 + 7), "/a*");
    assert_eq!(cut("a€b", 2 + 9), "/a%E2%82%AC*");
    let shared =
        |one: &str, two: &str| Item::from_key(one.as_bytes()).common_stem(&Item::from_key(two.as_bytes()));
    assert_eq!(shared("aé", "aè"), 2);
    assert_eq!(shared("a b", "a!b"), 2);
    assert_eq!(shared("docs/", "docs/index.html"), 6);
}

/// Generates keys of letters, slashes and special characters, sometimes with arbitrary bytes.
pub(crate) fn any_key() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "a",
        "b",
        "/",
        ".html",
        "index.html",
        "é",
        "€",
        "😀",
        "%",
        "%41",
        "+",
        " ",
        "~",
        "'",
        "*",
        "#",
        "?",
    ];
    let piece = prop_oneof![8 => select(pieces).prop_map(|text| text.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)];
    vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// Returns whether a path is printable ASCII without the characters that CloudFront refuses.
fn is_safe(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"#{}|\\^~[]`'".contains(&byte))
}

proptest! {
    /// Checks that CloudFront accepts the item of any key, and that the item decodes to the key, or
    /// to the beginning of the key if it is a wildcard.
    #[test]
    fn the_item_of_a_key_is_accepted_and_decodes_to_the_key(key in any_key()) {
        let item = Item::from_key(&key);
        let wire = item.as_str();
        prop_assert!(wire.starts_with('/') && wire.len() <= MAX_LENGTH);
        prop_assert!(is_safe(wire) && !wire.contains(['?', '+']));
        let decoded: Vec<u8> = percent_decode_str(item.stem()).collect();
        match item.kind() {
            Kind::Exact => prop_assert_eq!(&decoded[1..], &key[..]),
            Kind::Wildcard => {
                prop_assert!(key.starts_with(&decoded[1..]));
                prop_assert!(key.iter().any(|byte| b"~'".contains(byte)) || key.ends_with(b"*"));
            }
            Kind::Tag => prop_assert!(false, "a key became a tag"),
        }
    }

    /// Checks that parsing an encoded path returns the same item, unless it looks like two paths or
    /// a URL, which typed text must not.
    #[test]
    fn parsing_an_item_returns_the_same_item(key in any_key()) {
        let item = Item::from_key(&key);
        prop_assume!(!item.stem().contains('*'));
        match item.as_str().parse::<Item>() {
            Err(ParseItemError::Several(_)) => prop_assert!(item.as_str().contains(",/"), "{}", item),
            Err(ParseItemError::Url(_)) => {
                let path = item.as_str().to_ascii_lowercase();
                prop_assert!(["http:", "https:", ".cloudfront.net"].iter().any(|host| path.contains(host)), "{}", item);
            }
            parsed => prop_assert_eq!(parsed, Ok(item)),
        }
    }

    /// Checks that any typed text is refused or becomes an item that CloudFront accepts.
    #[test]
    fn typed_text_is_an_item_or_an_error(text in "\\PC{0,40}|[/#]?[a-z%*?~' ]{0,12}") {
        if let Ok(item) = text.parse::<Item>() {
            let wire = item.as_str();
            prop_assert!(wire.starts_with('/') || wire.starts_with('#'));
            prop_assert!(wire.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(item.kind() == Kind::Tag || is_safe(wire));
            prop_assert_eq!(wire.parse::<Item>(), Ok(item.clone()), "parsing the item again");
        }
    }

    /// Checks that a wildcard of any length covers the item that it was cut from.
    #[test]
    fn a_wildcard_covers_its_path(key in any_key(), len in 0_usize..60) {
        let item = Item::from_key(&key);
        let wildcard = item.wildcard(len);
        prop_assert_eq!(wildcard.kind(), Kind::Wildcard);
        prop_assert!(wildcard.covers(&item));
        prop_assert!(item.with_any_query().covers(&item));
    }
}
