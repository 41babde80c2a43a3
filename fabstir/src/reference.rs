//! The reference of every setting, made of the definitions that the command line is read by.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

/// Every command with its settings, as Markdown.
pub fn markdown(program: &Command) -> String {
    let mut text = format!(
        "# Settings\n\nEvery command of `{}` and what it can be told, by an argument or by the environment. Made by `make reference` \
         of the program itself; a test fails when it is not current. Keys and their passwords are read from files or the environment, never from \
         arguments.\n",
        program.get_name()
    );
    let common: Vec<_> = program.get_arguments().filter(|arg| is_told(arg)).collect();
    table(&mut text, "Of every command", None, &common);
    commands(&mut text, program.get_name(), program);
    text
}

fn commands(text: &mut String, path: &str, command: &Command) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        let arguments: Vec<_> = inner.get_arguments().filter(|arg| is_told(arg)).collect();
        table(text, &format!("`{path}`"), inner.get_about().map(ToString::to_string), &arguments);
        commands(text, &path, inner);
    }
}

fn is_told(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn table(text: &mut String, title: &str, about: Option<String>, arguments: &[&Arg]) {
    // Writing to a string does not fail.
    let _ = write!(text, "\n## {title}\n");
    if let Some(about) = about {
        let _ = write!(text, "\n{about}\n");
    }
    if arguments.is_empty() {
        return;
    }
    let _ = write!(text, "\n| argument | environment | default | |\n|---|---|---|---|\n");
    for argument in arguments {
        let name = match (argument.get_long(), argument.get_id()) {
            (Some(long), _) => format!("--{long}"),
            (None, id) => id.to_string().to_uppercase(),
        };
        let value =
            argument.get_value_names().filter(|_| takes_value(argument)).map(|names| format!(" {}", names.join(" ")));
        let value = value.filter(|_| argument.get_long().is_some()).unwrap_or_default();
        let environment = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|it| it.to_string_lossy()).collect();
        let default = match defaults.as_slice() {
            [] if argument.is_required_set() => "required".to_owned(),
            [] => String::new(),
            some if takes_value(argument) => format!("`{}`", some.join(",")),
            _ => String::new(),
        };
        let help =
            argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(text, "| `{name}{value}` | {environment} | {default} | {help} |");
    }
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_has_its_name_its_variable_its_default_and_its_words() {
        let listen = Arg::new("listen")
            .long("listen")
            .value_name("ADDRESS")
            .env("X_LISTEN")
            .default_value("here")
            .help("Where, a|b");
        let loud = Arg::new("loud").long("loud").action(ArgAction::SetTrue);
        let inner = Command::new("serve").about("Serves.").arg(listen).arg(loud).arg(Arg::new("hash").required(true));
        let text = markdown(&Command::new("x").subcommand(inner));
        for line in [
            "## `x serve`",
            "Serves.",
            "| `--listen ADDRESS` | `X_LISTEN` | `here` | Where, a\\|b |",
            "| `--loud` |  |  |  |",
            "| `HASH` |  | required |  |",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
