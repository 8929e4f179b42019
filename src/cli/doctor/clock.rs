//! The clock: right, and kept right.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::Finding;

/// This program was not built before 2026: an earlier clock is wrong.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// A clock that is years off makes every certificate invalid and every flag expired; one that drifts
/// does so in the end.
pub(super) fn judge(now: SystemTime, site: &Path, synchronised: Option<bool>) -> Finding {
    let what = "clock";
    let fix = "timedatectl set-ntp true";
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since < EARLIEST {
        return Finding::fail(what, "this host's clock is years behind", fix);
    }
    let newest = ["systems.toml", "farrier.toml"]
        .iter()
        .filter_map(|name| std::fs::metadata(site.join(name)).ok()?.modified().ok())
        .max();
    if let Some(newest) = newest
        && let Ok(ahead) = newest.duration_since(now)
        && ahead > Duration::from_secs(60)
    {
        return Finding::warn(
            what,
            format!(
                "the site's files are from {} s in the future",
                ahead.as_secs()
            ),
            fix,
        );
    }
    let time = format!("{:.0}", crate::model::Timestamp::now());
    match synchronised {
        Some(false) => Finding::warn(
            what,
            format!("{time}, and nothing keeps it right: NTP is not synchronised"),
            fix,
        ),
        Some(true) => Finding::ok(what, format!("{time}, synchronised")),
        None => Finding::ok(what, time),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_of_1970_is_seen() {
        let check = |now, level| {
            let found = judge(now, Path::new("/nonexistent"), None);
            assert_eq!(found.level, level);
        };
        check(SystemTime::UNIX_EPOCH, Level::Fail);
        check(SystemTime::UNIX_EPOCH + EARLIEST, Level::Ok);
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("systems.toml"), "").expect("written");
        assert_eq!(
            judge(SystemTime::UNIX_EPOCH + EARLIEST, dir.path(), Some(true)).level,
            Level::Warn,
            "the file is from the future"
        );
    }

    #[test]
    fn a_clock_that_nothing_keeps_right_is_worth_a_look() {
        let now = SystemTime::UNIX_EPOCH + EARLIEST;
        let level = |synchronised| judge(now, Path::new("/nonexistent"), synchronised).level;
        assert_eq!(level(Some(true)), Level::Ok);
        assert_eq!(level(Some(false)), Level::Warn);
        assert_eq!(level(None), Level::Ok);
    }
}
