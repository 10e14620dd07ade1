//! The JSON reader against the grammar of RFC 8259, with what Python's reader adds to it, and
//! against `serde_json`.

use proptest::prelude::*;
use serde_json::Value;
use tailrace_core::json::{JsonError, Kind, Members, Reader, elements};

use crate::checks::json as checked;
use crate::checks::json::{build, skip as check};

#[test]
fn accepts_what_the_grammar_allows_and_python() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "1.5",
        "1e3",
        "1E+3",
        "1.25e-7",
        "-12.5E6",
        "1e999",
        r#""""#,
        r#""a""#,
        r#""\"\\\/\b\f\n\r\t\u0041""#,
        "\"\u{7f}\u{e9}\u{1f389}\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,2]",
        "{}",
        "{ }",
        r#"{"a":1}"#,
        r#"{"":{}}"#,
        "\t\r\n [ 1 , { \"a\" : null } ] \n",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        "NaN",
        "Infinity",
        "[-Infinity ,NaN]",
        "\"\n\"",
        "\"\u{1f}\\n\u{0}\"",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn rejects_what_neither_allows() {
    for text in [
        "",
        " ",
        "nul",
        "nulL",
        "True",
        "-NaN",
        "+Infinity",
        "Nan",
        "Infinit",
        "NaN1",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e3",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "\"",
        "\"a",
        "\"\\\n\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        "'a'",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "{\"a\":}",
        "]",
        "}",
        "{}}",
        "[] []",
        "\u{feff}{}",
        "\u{a0}1",
        "// c\n1",
        "1 //",
    ] {
        assert!(check(text).is_err(), "{text}");
        assert!(build(text).is_err(), "{text}");
    }
}

#[test]
fn tells_an_ended_text_from_a_broken_one() {
    for text in ["", "{", "{\"a", "{\"a\\u00", "[1,", "tru", "-"] {
        assert_eq!(check(text), Err(JsonError::UnexpectedEnd), "{text}");
    }
    assert_eq!(check("[1,x]"), Err(JsonError::Syntax { offset: 3 }));
}

#[test]
fn two_hundred_open_containers_pass_and_one_more_does_not() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for text in [nested(200), objects(200), format!("[{},{}]", nested(199), objects(199))] {
        assert_eq!(check(&text), Ok(()));
        assert!(build(&text).is_ok());
    }
    assert_eq!(check(&nested(201)), Err(JsonError::TooDeep { offset: 200 }));
    assert_eq!(build(&nested(201)), Err(JsonError::TooDeep { offset: 200 }));
    assert_eq!(check(&objects(201)), Err(JsonError::TooDeep { offset: 1000 }));
    assert_eq!(check(&"[".repeat(1_000_000)), Err(JsonError::TooDeep { offset: 200 }));
}

#[test]
fn depth_counts_visited_and_skipped_containers_together() {
    let text = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let result = Reader::new(&text).object(|_, reader| reader.skip());
    assert_eq!(result, Err(JsonError::TooDeep { offset: 5 + 199 }));
}

#[test]
fn each_lone_surrogate_is_one_replacement_character() {
    for (text, expected) in [
        (r#""\ud83c\udf89""#, "\u{1f389}"),
        (r#""\uD83C\uDF89!""#, "\u{1f389}!"),
        (r#""\ud83c""#, "\u{fffd}"),
        (r#""\ud83cx""#, "\u{fffd}x"),
        (r#""\udf89\ud83c""#, "\u{fffd}\u{fffd}"),
        (r#""\ud83c\ud83c\udf89""#, "\u{fffd}\u{1f389}"),
        (r#""\ud83c\u0041""#, "\u{fffd}A"),
        (r#""\ud83c\n""#, "\u{fffd}\n"),
        (r#""\u0000\u00e9\uffff""#, "\u{0}\u{e9}\u{ffff}"),
    ] {
        assert_eq!(Reader::new(text).string().unwrap().decode(), expected, "{text}");
    }
}

#[test]
fn an_escape_is_decoded_wherever_it_stands() {
    for escape in [r"\n", r"\\", r#"\\\""#, r"\u2019", r"\ud83c\udf89", r"\u00e9\/\t"] {
        for before in 0..260 {
            for after in [0, 1, 7, 63, 64, 130, 1100] {
                let text = format!("\"{}{escape}{}\"", "a".repeat(before), "b".repeat(after));
                let expected: String = serde_json::from_str(&text).unwrap();
                assert_eq!(Reader::new(&text).string().unwrap().decode(), expected, "{text}");
            }
        }
    }
}

#[test]
fn a_control_character_passes_wherever_it_stands() {
    for before in 0..700 {
        for after in [0, 1, 63, 300] {
            let [start, end] =
                [format!("\"{}", "a".repeat(before)), format!("{}\"", "b".repeat(after))];
            for control in ["\0", "\n", "\u{1f}", " \u{7f}", "\0\u{1f}\n"] {
                let text = format!("{start}{control}{end}");
                let read = Reader::new(&text).string().unwrap();
                assert_eq!(read.decode(), text[1..text.len() - 1], "{text:?}");
                let text = format!("{start}\\n{control}\\u0041{end}");
                let read = Reader::new(&text).string().unwrap();
                let expected = text[1..text.len() - 1].replace("\\n", "\n").replace("\\u0041", "A");
                assert_eq!(read.decode(), expected, "{text:?}");
            }
        }
    }
}

#[test]
fn keys_are_compared_as_they_read() {
    let mut seen = Vec::new();
    Reader::new(r#"{"a":1,"\u0061":2,"b":3,"a":4}"#)
        .object(|key, reader| {
            if key == *"a" {
                seen.push(reader.number()?);
                return Ok(());
            }
            reader.skip()
        })
        .unwrap();
    assert_eq!(seen, ["1", "2", "4"]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Texts near JSON: a valid one with one change.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "", ",", ":", "\"", "\\", "{", "}", "[", "]", "0", "-", ".", "e", "1", " ", "\n", "\u{0}",
        "\\u", "\\ud800", "null", "NaN",
    ]);
    (any_value(), any::<prop::sample::Index>(), 0_usize..3, piece, any::<bool>()).prop_map(
        |(value, position, drop, piece, pretty)| {
            let text = if pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            }
            .unwrap();
            let mut characters: Vec<char> = text.chars().collect();
            let at = position.index(characters.len() + 1);
            let end = characters.len().min(at + drop);
            characters.splice(at..end, piece.chars());
            characters.into_iter().collect()
        },
    )
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in any_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        // Through serde_json as well, so that both sides parse floats alike.
        prop_assert_eq!(build(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        prop_assert_eq!(check(&text), Ok(()));
    }

    #[test]
    fn accepts_exactly_what_serde_json_accepts_and_python(text in prop_oneof![near_json(), "[\\[\\]{}\",:0-9eE.+ \\\\untrfalse-]{0,12}"]) {
        // IgnoredAny checks the grammar alone: no range of numbers, no surrogate pairs, no depth.
        let oracle = serde_json::from_str::<serde::de::IgnoredAny>(&checked::strict(&text));
        prop_assert_eq!(check(&text).is_ok(), oracle.is_ok(), "{}", text);
        checked::check(text.as_bytes());
    }
}

#[test]
fn members_are_found_by_name_the_last_of_several() {
    let text = r#" {"a": 1, "b": [2, {"c": 3}], "\u0061": "x\ny", "": null} "#;
    let members = Members::read(text).unwrap();
    let found = |name| members.find(text, name).map(|(kind, range)| (kind, &text[range]));
    assert_eq!(found("a"), Some((Kind::String, r#""x\ny""#)));
    assert_eq!(found("b"), Some((Kind::Array, r#"[2, {"c": 3}]"#)));
    assert_eq!(found(""), Some((Kind::Null, "null")));
    assert_eq!(found("c"), None);
    assert_eq!(found(r"\u0061"), None);
    let names: Vec<_> = members.iter(text).map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", r"\u0061", ""]);
}

#[test]
fn members_are_those_of_one_valid_object() {
    for text in ["", "[]", "null", r#"{"a":}"#, r#"{"a":1"#, "{} {}", r#"{"a":[1,]}"#] {
        assert!(Members::read(text).is_err(), "{text}");
    }
    assert_eq!(Members::read("{}").unwrap().iter("{}").count(), 0);
}

#[test]
fn elements_are_found_where_they_stand() {
    let text = r#"[ {"a": 1} , "b", 2 ,[3]]"#;
    let found: Vec<_> =
        elements(text).unwrap().into_iter().map(|(kind, range)| (kind, &text[range])).collect();
    let expected = [
        (Kind::Object, r#"{"a": 1}"#),
        (Kind::String, r#""b""#),
        (Kind::Number, "2"),
        (Kind::Array, "[3]"),
    ];
    assert_eq!(found, expected);
    for text in ["", "{}", "[1", "[1] 2", "[1,]"] {
        assert!(elements(text).is_err(), "{text}");
    }
}
