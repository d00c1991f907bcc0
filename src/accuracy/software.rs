//! Versions from the free text of a record: "torch 2.4.1, transformers 4.48.1", "torch 2.5 era", or only a date.

/// Major and minor version of a package named in a list: `2.4` of "torch 2.4.1, ...".
pub fn version_of(package: &str, software: &str) -> Option<String> {
    software.split([',', ';']).find_map(|part| {
        let mut words = part.split_whitespace();
        if words.next()? != package {
            return None;
        }
        let mut numbers = words.next()?.split('.');
        let major: u16 = numbers.next()?.parse().ok()?;
        let minor: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
        (!minor.is_empty()).then(|| format!("{major}.{minor}"))
    })
}

/// The release of torch that nightly builds of a month were heading for: by the months of the releases.
pub fn torch_of(date: &str) -> Option<String> {
    let mut parts = date.split('-');
    let year: u32 = parts.next()?.parse().ok()?;
    let month = parts
        .next()
        .and_then(|text| text.parse().ok())
        .filter(|month| *month <= 12)
        .unwrap_or(6);
    // Releases: 2.3 2024-04, 2.4 07, 2.5 10, 2.6 2025-01, 2.7 04, 2.8 08, 2.9 10, then about every two months.
    let minor = match year * 100 + month {
        ..202_404 => 3,
        202_404..202_407 => 4,
        202_407..202_410 => 5,
        202_410..202_501 => 6,
        202_501..202_504 => 7,
        202_504..202_508 => 8,
        202_508..202_510 => 9,
        202_510..202_601 => 10,
        202_601..202_604 => 11,
        202_604..202_607 => 13,
        _ => 14,
    };
    Some(format!("2.{minor}"))
}

/// The release of transformers that was current in a month, for runners that name none: by the months of the releases.
pub fn transformers_of(date: &str) -> Option<String> {
    let mut parts = date.split(['-', '.']);
    let year: u32 = parts.next()?.parse().ok()?;
    let month = parts.next().and_then(|text| text.parse().ok()).unwrap_or(6u32);
    // Releases: 4.35 2023-11, 4.36 2023-12, 4.38 2024-02, 4.41 2024-05, 4.45 2024-09, 4.48 2025-01, 4.51 2025-04, 4.57
    // 2025-10, 5.0 2026-01.
    Some(
        match year * 100 + month {
            ..202_312 => "4.35",
            202_312..202_402 => "4.36",
            202_402..202_405 => "4.38",
            202_405..202_409 => "4.41",
            202_409..202_501 => "4.45",
            202_501..202_504 => "4.48",
            202_504..202_510 => "4.51",
            202_510..202_601 => "4.57",
            _ => "5.0",
        }
        .to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_lists() {
        let text = "torch 2.4.1, transformers 4.48.1, trl 0.13.0";
        assert_eq!(version_of("torch", text).as_deref(), Some("2.4"));
        assert_eq!(version_of("transformers", text).as_deref(), Some("4.48"));
        assert_eq!(
            version_of("torch", "torch 2.8.0a0+5228986c39").as_deref(),
            Some("2.8")
        );
        assert_eq!(version_of("torch", "torch 1963fc8 (2024-12-23)"), None);
        assert_eq!(version_of("torch", "torchtune b818e03, torch 1017927"), None);
    }

    #[test]
    fn a_date_names_the_release_it_led_to() {
        assert_eq!(torch_of("2024-03-28").as_deref(), Some("2.3"));
        assert_eq!(torch_of("2024-12").as_deref(), Some("2.6"));
        assert_eq!(torch_of("2025-02-06").as_deref(), Some("2.7"));
        assert_eq!(torch_of(""), None);
    }
}
