//! Which repository a call means: `--repo` takes a URL or the name of a configured one.

use super::Configuration;
use super::file::Value;
use super::origin::Origin;

/// A table of the file: `None` is `[repository]`, a name `[repository.NAME]`.
pub(super) type Instance = Option<String>;

/// A repository that was chosen.
pub(super) struct Chosen {
    /// The table with its options, if it is a configured one.
    pub instance: Option<Instance>,
    /// The URL, unless it was typed as such.
    pub add: Option<String>,
    pub origin: Origin,
}

/// Chooses by what was typed, the environment, the file: in this order.
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
        // Its options are those of the table with the same URL, if there is one.
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
