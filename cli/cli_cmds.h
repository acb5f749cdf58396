/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmds: the handlers of the verb table. Each returns an exit code and has printed its result or its error. */
#ifndef GANGWAY_CLI_CMDS_H
#define GANGWAY_CLI_CMDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cli;
struct cli_args;
struct cli_verb;

struct cli_request;

/* `guest add --incoming`: @add, then its NIC as the options say; both or neither. */
int cli_add_incoming(struct cli *cli, const struct cli_args *args, const struct cli_request *add);
/* Is there an option that says what a NIC is to be? */
bool cli_says_nic(const struct cli_args *args);

int cli_cmd_attach(struct cli *cli, const struct cli_args *args);
int cli_cmd_migrate(struct cli *cli, const struct cli_args *args);
int cli_cmd_switch(struct cli *cli, const struct cli_args *args);
int cli_cmd_detach(struct cli *cli, const struct cli_args *args);
int cli_cmd_doctor(struct cli *cli, const struct cli_args *args);
int cli_cmd_guest_add(struct cli *cli, const struct cli_args *args);
int cli_cmd_guest_list(struct cli *cli, const struct cli_args *args);
int cli_cmd_guest_remove(struct cli *cli, const struct cli_args *args);
int cli_cmd_guest_show(struct cli *cli, const struct cli_args *args);
int cli_cmd_help(struct cli *cli, const struct cli_args *args);
int cli_cmd_irq_show(struct cli *cli, const struct cli_args *args);
int cli_cmd_metrics(struct cli *cli, const struct cli_args *args);
/* --priority into @params. 0, or an exit code after the error is printed. */
int cli_take_priority(const struct cli *cli, const struct cli_args *args, json_t *params);
int cli_cmd_memory_release(struct cli *cli, const struct cli_args *args);
int cli_cmd_memory_set(struct cli *cli, const struct cli_args *args);
int cli_cmd_memory_show(struct cli *cli, const struct cli_args *args);
int cli_cmd_monitor(struct cli *cli, const struct cli_args *args);
int cli_cmd_pf_list(struct cli *cli, const struct cli_args *args);
int cli_cmd_pf_set(struct cli *cli, const struct cli_args *args);
int cli_cmd_pf_show(struct cli *cli, const struct cli_args *args);
int cli_cmd_status(struct cli *cli, const struct cli_args *args);
int cli_cmd_version(struct cli *cli, const struct cli_args *args);
int cli_cmd_vf_list(struct cli *cli, const struct cli_args *args);
int cli_cmd_vf_set(struct cli *cli, const struct cli_args *args);
int cli_cmd_vf_show(struct cli *cli, const struct cli_args *args);

/* `vf show VF --dma` */
int cli_show_dma(struct cli *cli, const char *vf);

/* What `gangway` alone says: the commands one needs first. */
void cli_help_short(FILE *out);

/* --help: of @args' verb, of the verbs that begin with its words, or of everything. Returns an exit code. */
int cli_help(struct cli *cli, const struct cli_args *args);

/* `gangway --version` */
int cli_print_version(struct cli *cli);

/*
 * `gangway --complete WORD...`: what the last WORD could become, one a line; "@files" stands for file names. Never prints
 * an error: a shell asks while someone types. Returns EXIT_OK.
 */
int cli_complete(struct cli *cli, char *const *words, size_t nr);

#endif
