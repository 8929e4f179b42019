//! One keyboard in the words of each installer.
//!
//! `locale.keyboard` is a console keymap as kbd names it. What X calls the same keyboard is from systemd's
//! `kbd-model-map`; besides kbd's older names (`de-latin1`) its newer ones are known, which are X's own
//! (`de-nodeadkeys`). YaST's words are those of yast-country's `keyboards.rb`, Proxmox's those of its
//! installer's list of keyboards, Debian's the choices of keyboard-configuration's `xkb-keymap`.

/// A keyboard that is known by more than one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keyboard {
    /// Console keymaps that are this one, besides [`Keyboard::name`].
    keymaps: &'static [&'static str],
    /// X's layout.
    pub(super) layout: &'static str,
    /// X's variant of it; empty for none.
    pub(super) variant: &'static str,
    /// YaST's name for it.
    pub(super) yast: Option<&'static str>,
    /// The Proxmox installer's.
    pub(super) proxmox: Option<&'static str>,
}

impl Keyboard {
    /// The keyboard of a console keymap, if it is known.
    pub(super) fn of(keymap: &str) -> Option<Keyboard> {
        let mut all = KEYBOARDS.iter().map(row);
        all.find(|k| k.keymaps.contains(&keymap) || k.name() == keymap)
    }

    /// The console keymap that kbd makes of X's: `gb`, `de-nodeadkeys`.
    pub(super) fn name(&self) -> String {
        match self.variant {
            "" => self.layout.to_string(),
            variant => format!("{}-{variant}", self.layout),
        }
    }

    /// The choice of Debian's installer, if it offers this one.
    pub(super) fn debian(&self) -> Option<String> {
        let choice = match (self.layout, self.variant) {
            // the only French keyboard that it offers
            ("fr", "") => "fr(latin9)".to_string(),
            (layout, "") => layout.to_string(),
            (layout, variant) => format!("{layout}({variant})"),
        };
        DEBIAN.contains(&choice.as_str()).then_some(choice)
    }
}

/// Console keymaps, X's layout and variant, YaST's word, Proxmox's; empty for none.
type Row = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn row(row: &Row) -> Keyboard {
    let (keymaps, layout, variant, yast, proxmox) = *row;
    let word = |word: &'static str| (!word.is_empty()).then_some(word);
    Keyboard {
        keymaps,
        layout,
        variant,
        yast: word(yast),
        proxmox: word(proxmox),
    }
}

const KEYBOARDS: &[Row] = &[
    (&[], "us", "", "english-us", "en-us"),
    (&["us-acentos"], "us", "intl", "us-int", ""),
    (&["dvorak"], "us", "dvorak", "dvorak", ""),
    (&["colemak"], "us", "colemak", "colemak", ""),
    (&["uk"], "gb", "", "english-uk", "en-gb"),
    (&["de-latin1"], "de", "", "german-deadkey", "de"),
    (
        &["de-latin1-nodeadkeys"],
        "de",
        "nodeadkeys",
        "german",
        "de",
    ),
    (&[], "ch", "", "german-ch", "de-ch"),
    (
        &["sg", "sg-latin1"],
        "ch",
        "de_nodeadkeys",
        "german-ch",
        "de-ch",
    ),
    (&["fr_CH", "fr_CH-latin1"], "ch", "fr", "french-ch", "fr-ch"),
    (&["fr-latin1", "fr-pc"], "fr", "", "french", "fr"),
    (&[], "fr", "latin9", "", "fr"),
    (&["be-latin1"], "be", "", "belgian", "fr-be"),
    (&["cf"], "ca", "", "french-ca", "fr-ca"),
    (&["nl2"], "nl", "", "dutch", "nl"),
    (&["dk-latin1"], "dk", "", "danish", "dk"),
    (&["no-latin1"], "no", "", "norwegian", "no"),
    (&["sv-latin1"], "se", "", "swedish", "se"),
    (&["fi-latin1"], "fi", "", "finnish", "fi"),
    (&["is-latin1"], "is", "", "icelandic", "is"),
    (&["et"], "ee", "", "estonian", ""),
    (&["lt.baltic", "lt.l4"], "lt", "", "lithuanian", "lt"),
    (&["it2", "it-ibm"], "it", "", "italian", "it"),
    (&[], "es", "", "spanish", "es"),
    (&["la-latin1"], "latam", "", "spanish-lat", ""),
    (&["pt-latin1"], "pt", "", "portugese", "pt"),
    (&["br-abnt2"], "br", "", "portugese-br", "pt-br"),
    (&["pl2"], "pl", "", "polish", "pl"),
    (&[], "cz", "", "czech", ""),
    (&["cz-lat2"], "cz", "qwerty", "czech-qwerty", ""),
    (&["sk-qwertz"], "sk", "", "slovak", ""),
    (&[], "sk", "qwerty", "slovak-qwerty", ""),
    (&[], "hu", "", "hungarian", "hu"),
    (&["slovene"], "si", "", "slovene", "si"),
    (&["croat"], "hr", "", "croatian", ""),
    (&[], "ro", "", "romanian", ""),
    (&["trq"], "tr", "", "turkish", "tr"),
    (&["jp106"], "jp", "", "japanese", "jp"),
    (&[], "mk", "", "", "mk"),
];

/// Of what Debian's installer offers, what is in the table above.
const DEBIAN: &[&str] = &[
    "us",
    "us(dvorak)",
    "gb",
    "de",
    "ch",
    "ch(fr)",
    "fr(latin9)",
    "be",
    "ca",
    "nl",
    "dk",
    "no",
    "se",
    "fi",
    "is",
    "ee",
    "lt",
    "it",
    "es",
    "latam",
    "pt",
    "br",
    "pl",
    "cz",
    "sk",
    "hu",
    "si",
    "hr",
    "ro",
    "tr",
    "jp",
    "mk",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_one_keyboard() {
        let mut names = Vec::new();
        for keyboard in KEYBOARDS.iter().map(row) {
            names.push(keyboard.name());
            names.extend(keyboard.keymaps.iter().map(ToString::to_string));
        }
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{names:?}");
    }

    #[test]
    fn each_has_its_own_word_for_it() {
        for (keymap, name, debian, yast, proxmox) in [
            ("us", "us", Some("us"), Some("english-us"), Some("en-us")),
            ("uk", "gb", Some("gb"), Some("english-uk"), Some("en-gb")),
            ("gb", "gb", Some("gb"), Some("english-uk"), Some("en-gb")),
            (
                "de-latin1",
                "de",
                Some("de"),
                Some("german-deadkey"),
                Some("de"),
            ),
            (
                "de-latin1-nodeadkeys",
                "de-nodeadkeys",
                None,
                Some("german"),
                Some("de"),
            ),
            ("fr", "fr", Some("fr(latin9)"), Some("french"), Some("fr")),
            (
                "fr_CH-latin1",
                "ch-fr",
                Some("ch(fr)"),
                Some("french-ch"),
                Some("fr-ch"),
            ),
            (
                "dvorak",
                "us-dvorak",
                Some("us(dvorak)"),
                Some("dvorak"),
                None,
            ),
            ("hr", "hr", Some("hr"), Some("croatian"), None),
        ] {
            let known = Keyboard::of(keymap).expect(keymap);
            let said = (known.name(), known.debian());
            assert_eq!(
                said,
                (name.to_string(), debian.map(str::to_string)),
                "{keymap}"
            );
            assert_eq!((known.yast, known.proxmox), (yast, proxmox), "{keymap}");
        }
        assert_eq!(Keyboard::of("defkeymap_V1.0"), None);
    }

    /// The layouts and variants are those of systemd's own table, where it has the keymap and this host
    /// has the table.
    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    fn systemd_says_the_same() {
        let Ok(table) = std::fs::read_to_string("/usr/share/systemd/kbd-model-map") else {
            eprintln!(
                "SKIPPED: systemd's kbd-model-map is not here, and the table was not compared"
            );
            return;
        };
        let mut compared = 0;
        for line in table.lines().filter(|l| !l.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [keymap, layout, _, variant, ..] = words[..] else {
                continue;
            };
            let variant = if variant == "-" { "" } else { variant };
            // of two scripts on one keyboard, or two rows for one name, nothing is said here
            if layout.contains(',') || variant == "dvorak-alt-intl" || keymap == "sk-qwerty" {
                continue;
            }
            if let Some(known) = Keyboard::of(keymap) {
                assert_eq!((known.layout, known.variant), (layout, variant), "{keymap}");
                compared += 1;
            }
        }
        assert!(compared > 30, "{compared}");
    }
}
