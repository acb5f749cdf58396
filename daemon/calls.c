/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "calls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "ctl_proto.h"
#include "daemon.h"
#include "faults.h"
#include "guests.h"
#include "irq_follow.h"
#include "lease.h"
#include "lease_memory.h"
#include "mem_watch.h"
#include "metrics.h"
#include "policy_json.h"
#include "switcher.h"
#include "sys.h"

#define WAIT_MS_MAX 600000

bool call_params(struct ctl_req *req, const json_t *params, const char *fmt, ...)
{
	json_error_t je;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = json_vunpack_ex((json_t *)params, &je, 0, fmt, ap);
	va_end(ap);
	if (r < 0)
		ctl_fail_params(req, je.text);
	return r == 0;
}

static json_t *daemon_to_json(struct daemon *d)
{
	return json_pack("{s:s, s:i, s:I, s:o, s:o}", "version", GANGWAY_VERSION, "pid", (int)getpid(), "uptime_s",
			 (json_int_t)((d->sys->ops->now_us(d->sys) - d->started_us) / 1000000), "faults",
			 faults_host_to_json(d->faults), "memory", mem_watch_to_json(d->mem_watch));
}

static void call_version(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	(void)d;
	if (!call_params(req, params, "{!}"))
		return;
	ctl_reply(req, json_pack("{s:s, s:i, s:i}", "version", GANGWAY_VERSION, "protocol", CTL_PROTOCOL, "pid", (int)getpid()));
}

static void call_status(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *name = NULL;
	json_t *list;
	struct guest *g;
	struct lease *l;
	struct err err;

	if (!call_params(req, params, "{s?:s !}", "guest", &name))
		return;
	if (name && guest_get(d, name, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	list = json_array();
	TAILQ_FOREACH(l, &d->leases, link)
	if (!name || !strcmp(l->guest, name))
		json_array_append_new(list, lease_to_json(l));
	ctl_reply(req, json_pack("{s:o, s:o}", "daemon", daemon_to_json(d), "leases", list));
}

static void call_monitor(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	(void)d;
	if (!call_params(req, params, "{!}"))
		return;
	ctl_subscribe(req);
	ctl_reply(req, json_object());
}

/* @word NULL: what the configuration says. */
static int take_standby(const struct config *c, struct attach_params *p, const char *word, struct err *err)
{
	char words[EMUL_WORDS_MAX];
	int r = 0;

	p->standby_auto = word ? !strcmp(word, STANDBY_AUTO) : c->standby_auto;
	if (p->standby_auto)
		p->standby.kind = EMUL_MACVTAP;
	else if (word)
		r = emul_words_parse(word, &p->standby, err);
	else
		p->standby = c->standby;
	if (r < 0 || p->standby_auto || p->standby.kind == EMUL_NONE || !p->prepare)
		return r;
	emul_words_print(&p->standby, words);
	err_set(err, -EOPNOTSUPP, "attach.bad-standby", "standby \"%s\": not for a guest that is not started yet", words);
	err_hint(err, "start the guest, then attach without --prepare; or --standby none");
	return -EOPNOTSUPP;
}

/* It comes by its emulated leg, whether or not there is a VF for it: so it is to have one. */
static int check_incoming(struct attach_params *p, struct err *err)
{
	if (!p->must_come)
		return 0;
	if (p->prepare) {
		err_set(err, -EINVAL, "attach.bad-incoming", "incoming: not together with prepare");
		err_hint(err, "a guest that waits for a migration has a VMM already, --prepare is for one without");
		return -EINVAL;
	}
	if (p->standby.kind == EMUL_NONE) {
		err_set(err, -EINVAL, "attach.bad-standby",
			"standby none: a guest that comes by migration comes by its emulated leg");
		err_hint(err, "--standby macvtap, bridge:BR or own");
		return -EINVAL;
	}
	return 0;
}

/* The parameters that need more than the right type. False: answered. */
static bool check_attach(struct ctl_req *req, const struct config *c, struct attach_params *p, const char *via,
			 const json_t *policy, const char *standby, json_int_t wait_ms)
{
	struct err err = { 0 };
	int r = policy_from_json(policy, &p->want, &err);

	if (r == 0 && via && lease_via_from_string(via, &p->via) < 0) {
		r = err_set(&err, -EINVAL, "attach.bad-via", "via \"%.40s\": there is no such way", via);
		err_hint(&err, "auto, vfio-user or vfio-pci");
	} else if (r == 0 && (take_standby(c, p, standby, &err) < 0 || check_incoming(p, &err) < 0)) {
		r = err.num;
	} else if (r == 0 && (wait_ms < 0 || wait_ms > WAIT_MS_MAX)) {
		r = err_set(&err, -EINVAL, "attach.bad-wait", "wait: %lld ms is out of range", (long long)wait_ms);
		err_hint(&err, "0 to %d ms", WAIT_MS_MAX);
	} else if (r == 0 && p->user && !p->prepare) {
		r = err_set(&err, -EINVAL, "attach.bad-user", "user: only with prepare");
		err_hint(&err, "whom a running guest belongs to is known from its QMP socket");
	}
	p->wait_ms = (unsigned)wait_ms;
	if (r < 0)
		ctl_fail(req, &err);
	return r == 0;
}

static bool check_memory(struct ctl_req *req, struct attach_params *p, const char *memory, json_int_t priority)
{
	struct err err;

	if (memory && lease_memory_from_string(memory, &p->adaptive, &err) < 0) {
		ctl_fail(req, &err);
		return false;
	}
	if (priority < 0 || priority > LEASE_PRIORITY_MAX) {
		ctl_fail_params(req, "priority: 0 to 9");
		return false;
	}
	p->priority = (unsigned)priority;
	return true;
}

static void call_attach(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct attach_params p = { 0 };
	const char *via = NULL, *standby = NULL, *memory = NULL;
	int prepare = 0, dry_run = 0, incoming = 0, unshare = 0;
	json_int_t wait_ms = 0, priority = LEASE_PRIORITY;
	json_t *policy = NULL;

	if (!call_params(req, params, "{s:s, s:s, s?:s, s?:s, s?:o, s?:s, s?:b, s?:s, s?:b, s?:b, s?:I, s?:s, s?:b, s?:I !}",
			 "guest", &p.guest, "target", &p.target, "via", &via, "nic", &p.nic, "policy", &policy, "standby",
			 &standby, "prepare", &prepare, "user", &p.user, "dry_run", &dry_run, "incoming", &incoming, "wait_ms",
			 &wait_ms, "memory", &memory, "unshare", &unshare, "priority", &priority) ||
	    !check_memory(req, &p, memory, priority))
		return;
	p.prepare = prepare;
	p.must_come = incoming;
	p.dry_run = dry_run;
	p.unshare = unshare;
	if (check_attach(req, &d->config, &p, via, policy, standby, wait_ms))
		attach_start(d, req, &p);
}

static void call_switch(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *guest, *nic = NULL, *leg;

	if (!call_params(req, params, "{s:s, s?:s, s:s !}", "guest", &guest, "nic", &nic, "leg", &leg))
		return;
	if (!strcmp(leg, "emulated"))
		switcher_choose(d, req, guest, nic, LEG_EMULATED);
	else if (!strcmp(leg, "passthrough"))
		switcher_choose(d, req, guest, nic, LEG_PASSTHROUGH);
	else
		ctl_fail_params(req, "leg: emulated or passthrough");
}

static void call_detach(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *guest, *nic = NULL;
	json_int_t wait_ms = 0;

	if (!call_params(req, params, "{s:s, s?:s, s?:I !}", "guest", &guest, "nic", &nic, "wait_ms", &wait_ms))
		return;
	if (wait_ms < 0 || wait_ms > WAIT_MS_MAX)
		ctl_fail_params(req, "wait_ms: 0 to 600000");
	else
		detach_start(d, req, guest, nic, (unsigned)wait_ms);
}

const struct ctl_method call_table[] = {
	{ "version", true, call_version },	  { "doctor", true, call_doctor },
	{ "pf.list", true, call_pf_list },	  { "pf.show", true, call_pf_show },
	{ "pf.set", false, call_pf_set },	  { "vf.list", true, call_vf_list },
	{ "vf.show", true, call_vf_show },	  { "vf.set", false, call_vf_set },
	{ "guest.add", false, call_guest_add },	  { "guest.list", true, call_guest_list },
	{ "guest.show", true, call_guest_show },  { "guest.remove", false, call_guest_remove },
	{ "attach", false, call_attach },	  { "detach", false, call_detach },
	{ "switch", false, call_switch },	  { "migrate", false, call_migrate },
	{ "vf.dma", false, call_vf_dma },	  { "migrate.cancel", false, call_migrate_cancel },
	{ "irq.show", true, call_irq_show },	  { "status", true, call_status },
	{ "monitor", true, call_monitor },	  { "memory.show", true, call_memory_show },
	{ "memory.set", false, call_memory_set }, { "memory.release", false, call_memory_release },
	{ "metrics", true, call_metrics },
};
const size_t call_table_len = sizeof(call_table) / sizeof(call_table[0]);
