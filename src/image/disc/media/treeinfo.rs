//! Media with a `.treeinfo` (productmd, `doc/treeinfo-1.2.rst`): RHEL and its family, Fedora, some of
//! SUSE.

use std::collections::BTreeMap;

use super::{Medium, part, text};
use crate::image::disc::{Disc, DiscError, Tree};

/// Keys by `section/key`.
fn keys(text: &str) -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_string();
        } else if let Some((key, value)) = line.split_once('=') {
            let key = format!("{section}/{}", key.trim());
            keys.insert(key, value.trim().to_string());
        }
    }
    keys
}

pub(super) fn treeinfo(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(text) = text(disc, tree, ".treeinfo")? else {
        return Ok(None);
    };
    let keys = keys(&text);
    let get = |key: &str| keys.get(key).map(String::as_str).unwrap_or("");
    let (family, version) = (get("general/family"), get("general/version"));
    let (arch, variant) = (get("general/arch"), get("general/variant"));
    let images = format!("images-{arch}");
    let kernel = get(&format!("{images}/kernel"));
    if family.is_empty() || part(tree, kernel).is_none() {
        return Ok(None);
    }
    let short = match family {
        "Red Hat Enterprise Linux" => "rhel".to_string(),
        "Oracle Linux" => "oracle".to_string(),
        "CentOS Stream" => "centos-stream".to_string(),
        "AlmaLinux" => "alma".to_string(),
        other => other.strip_suffix(" Linux").unwrap_or(other).to_string(),
    };
    // Of Fedora the variant is another product; elsewhere it is how much the medium holds.
    let variant = if family == "Fedora" { variant } else { "" };
    let name = format!("{short} {version} {variant}");
    let title = [family, version, variant].join(" ");
    let title = format!("{}, {arch}", title.trim_end());
    let mut medium = Medium::new(title, &name)
        .kernel(tree, kernel)
        .initrd(tree, get(&format!("{images}/initrd")));
    if !tree.has("images/install.img") && !tree.has("LiveOS/squashfs.img") {
        medium = medium.note(
            "it has no images/install.img: the installer's second stage must come from elsewhere",
        );
    }
    if !tree.below("").any(|p| p.ends_with("repodata/repomd.xml")) {
        medium = medium.note("it holds no packages: name a repository in the kickstart file");
    }
    Ok(Some(medium.note(
        "the installer takes its second stage and packages from inst.repo={{ url.tree[\"media.iso\"] }}",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_sections() {
        let keys =
            keys("a = 0\n[general]\nfamily = Rocky Linux\n; x\n[images-x86_64]\nkernel=v=1\n");
        let pairs: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("/a", "0"),
                ("general/family", "Rocky Linux"),
                ("images-x86_64/kernel", "v=1"),
            ]
        );
    }
}
