/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log: lines to stderr with the syslog priority prefix that systemd understands ("<6>...") when stderr is the
 * journal, plain otherwise. Modules below daemon/ log at debug only: their errors travel in struct err.
 * Writing never blocks: a line that cannot be written at once is dropped; how many were is said before the next one that can.
 */
#ifndef GANGWAY_LOG_H
#define GANGWAY_LOG_H

enum log_level { LOG_LVL_ERR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* Least important level that is still written; default info. @tag is put before each line ("gangwayd"). */
void log_init(const char *tag, enum log_level max);

/* Write one line (no newline in @fmt). Newlines and control bytes inside the text are replaced: it may come from a guest. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...) log_write(LOG_LVL_ERR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LVL_DEBUG, __VA_ARGS__)

#endif
