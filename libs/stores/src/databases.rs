//! Databases and their owners, made with PostgreSQL's own `psql`.

use crate::client::Client;
use crate::url::Url;
use crate::{Error, Result, Tools};

/// Names are put into statements, so they are of a form that needs no quoting rules.
const NAME_MAX: usize = 63;

/// The `psql` that belongs to the PostgreSQL that was found.
#[derive(Debug, Clone)]
pub struct Psql(Client);

impl Psql {
    /// The one beside the server, or else the one in `PATH`.
    pub fn of(tools: &Tools) -> Option<Psql> {
        Client::find(tools, "psql", &std::env::var_os("PATH").unwrap_or_default()).map(Psql)
    }

    /// Runs statements as the user of `url`, stopping at the first error; returns the rows, bare. The
    /// statements may use psql's own commands, each in a line of its own.
    ///
    /// # Errors
    /// [`Error::Failed`] with the server's message.
    pub fn run(&self, url: &str, statements: &str) -> Result<String> {
        let args = "--no-psqlrc --quiet --no-align --tuples-only --no-password --set ON_ERROR_STOP=1 --dbname";
        let output = self.0.run(&args.split(' ').collect::<Vec<_>>(), url, statements)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(Error::Failed(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Makes a role that can log in and do nothing else, and a database that it owns and no other role
    /// may connect to. If they exist, the password is set again and nothing else changes.
    ///
    /// `admin_url` is a superuser's. Returns the URL of the database for its owner.
    ///
    /// # Errors
    /// When a name is not `[a-z_][a-z0-9_]*` of at most 63 characters, or the server refuses.
    pub fn create_database(
        &self,
        admin_url: &str,
        name: &str,
        owner: &str,
        password: &str,
    ) -> Result<String> {
        self.run(admin_url, &database_statements(name, owner, password)?)?;
        Ok(Url::parse(admin_url)?.with(owner, password, name))
    }
}

/// What [`Psql::create_database`] says to PostgreSQL, for a `psql` that somebody else runs.
///
/// # Errors
/// When a name is none for a database or a role.
pub fn database_statements(name: &str, owner: &str, password: &str) -> Result<String> {
    [name, owner].into_iter().try_for_each(check_name)?;
    let password = password.replace('\'', "''");
    // A failing statement is logged by the server, and one of these holds a password.
    Ok(format!(
        "set log_min_error_statement = panic;\n\
         select 'create role {owner}' where not exists (select from pg_roles where rolname = '{owner}')\n\
         \\gexec\n\
         alter role {owner} with login nosuperuser nocreatedb nocreaterole noreplication nobypassrls \
         password '{password}';\n\
         select 'create database {name} owner {owner}' \
         where not exists (select from pg_database where datname = '{name}')\n\
         \\gexec\n\
         revoke all on database {name} from public;\n"
    ))
}

fn check_name(name: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let valid = name.starts_with(letter)
        && name.len() <= NAME_MAX
        && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    if valid {
        Ok(())
    } else {
        Err(Error::Failed(format!("{name:?} is no name for a database or role")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quoting() {
        for good in ["cart", "cart_0", "_x"] {
            check_name(good).expect(good);
        }
        for bad in ["", "Cart", "0cart", "a-b", "a;drop", "a'b", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quote_in_a_password_stays_in_it() {
        let statements = database_statements("a", "a", "x'; drop").expect("names");
        assert!(statements.contains("password 'x''; drop'"));
    }
}
