/*
 * References to secrets inside a value: "%{ENV_VAR}", "%{file:/path}", "%{credential:NAME}".
 *
 * A file loses one line end at its end, and may hold 64 KiB of text without zero bytes. A credential is the
 * file NAME in systemd's $CREDENTIALS_DIRECTORY. A reference may stand among other text; "%%{" is a literal
 * "%{".
 */
#ifndef VARVE_CONFIG_CONFIG_SECRETS_H
#define VARVE_CONFIG_CONFIG_SECRETS_H

#include <stdbool.h>

#include "src/base/error.h"

/* Replaces all references in text: *ret is a new string, *ret_secret says whether there were any. ERR_INVALID
 * if one can't be resolved or is malformed. Reads the environment: not beside setenv() in another thread. */
int config_secrets_expand(const char *text, char **ret, bool *ret_secret, struct error *reterr);

/* Whether text holds a reference (or an escaped one). */
bool config_secrets_has_reference(const char *text);

#endif
