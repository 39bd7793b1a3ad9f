//! Chooses the repository of a call: `--repo` takes a URL or the name of a configured repository.

use super::Configuration;
use super::file::{Setting, Value};
use super::origin::Origin;

/// A table of the file: `None` for `[repository]`, a name for `[repository.NAME]`.
pub(super) type Instance = Option<String>;

/// The chosen repository.
pub(super) struct Chosen {
    /// The table with its options, if it is configured.
    pub instance: Option<Instance>,
    /// The URL, unless it was typed.
    pub add: Option<String>,
    pub origin: Origin,
}

/// Chooses by the command line, else the environment, else the file.
pub(super) fn choose(
    configuration: &Configuration,
    typed: Option<&str>,
    variable: Option<(Value, String)>,
) -> Result<Option<Chosen>, String> {
    if let Some(text) = typed {
        return named(configuration, text, Origin::Option).map(Some);
    }
    if let Some((Value::One(text), name)) = variable {
        return named(configuration, &text, Origin::Environment(name)).map(Some);
    }
    if let Some(setting) = configuration.find("", "repo", None)
        && let Value::One(text) = &setting.value
    {
        return named(configuration, text, configuration.place(setting)).map(Some);
    }
    let Some(setting) = configuration.find("repository", "url", None) else {
        return Ok(None);
    };
    let Value::One(url) = &setting.value else {
        return Ok(None);
    };
    Ok(Some(Chosen {
        instance: Some(None),
        add: Some(url.clone()),
        origin: configuration.place(setting),
    }))
}

/// Chooses the second repository of a call. `setting` is its key in the file.
pub(super) fn choose_target(
    configuration: &Configuration,
    typed: Option<&str>,
    variable: Option<(Value, String)>,
    setting: Option<&Setting>,
) -> Result<Option<Chosen>, String> {
    let variable = variable.map(|(value, name)| (value, Origin::Environment(name)));
    let setting = setting.map(|found| (found.value.clone(), configuration.place(found)));
    if let Some(text) = typed {
        return named(configuration, text, Origin::Option).map(Some);
    }
    match variable.or(setting) {
        Some((Value::One(text), origin)) => named(configuration, &text, origin).map(Some),
        _ => Ok(None),
    }
}

fn named(configuration: &Configuration, text: &str, origin: Origin) -> Result<Chosen, String> {
    let typed = origin == Origin::Option;
    let urls = configuration.repositories();
    if let Some((instance, url)) = urls.iter().find(|(name, _)| name.as_deref() == Some(text)) {
        let add = Some((*url).to_owned());
        return Ok(Chosen {
            instance: Some(instance.clone()),
            add,
            origin,
        });
    }
    let is_path = text.contains(['/', '\\', ':'])
        || text.starts_with('.')
        || std::path::Path::new(text).is_dir();
    if is_path {
        // If a table has the same URL, its options apply.
        let same = urls
            .iter()
            .find(|(_, url)| url.trim_end_matches('/') == text.trim_end_matches('/'));
        let add = (!typed).then(|| text.to_owned());
        return Ok(Chosen {
            instance: same.map(|(name, _)| name.clone()),
            add,
            origin,
        });
    }
    let names: Vec<&str> = urls
        .iter()
        .filter_map(|(name, _)| name.as_deref())
        .collect();
    let known = if names.is_empty() {
        "no repository is configured by name".to_owned()
    } else {
        format!("the configured ones are {}", names.join(", "))
    };
    Err(format!(
        "repository {text}: it is neither configured nor a URL ({known}); add [repository.{text}] with a url to \
         the configuration, or write a directory as ./{text}"
    ))
}
