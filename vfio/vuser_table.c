/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command table, and the one road from a whole message to its answer: header, row, the row's own check, handler, reply.
 * Nothing changes anywhere before the check has passed; whatever happens, no descriptor of the message outlives it here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fdutil.h"
#include "vuser_internal.h"

#define IN(state) (1u << (state))
#define RUN IN(VUSER_RUNNING)
#define ROW(cmd_, min_, max_, fds_, states_, quiet_, check_, handle_)                                                            \
	{                                                                                                                        \
		.id = VUSER_##cmd_, .name = #cmd_, .min_len = min_, .max_len = max_, .max_fds = fds_, .states = states_,         \
		.no_reply_ok = quiet_, .passes = VUSER_##cmd_ == VUSER_DMA_MAP || VUSER_##cmd_ == VUSER_DMA_UNMAP,               \
		.check = check_, .handle = handle_                                                                               \
	}

#define VERSION_JSON_MAX 4096 /* bounds what the JSON parser allocates for a stranger; QEMU sends 250 bytes */
#define INFO_MAX 4096 /* clients may send the whole buffer that they want the answer in */

/* clang-format off */
static const struct vuser_cmd table[] = {
	/*  command                payload min                          max                                  fds states            quiet check handler */
	ROW(VERSION,               sizeof(struct vuser_version),        sizeof(struct vuser_version) + VERSION_JSON_MAX,
	                                                                                                     0,  IN(VUSER_NEGOTIATE), false, vuser_check_version, vuser_handle_version),
	ROW(DMA_MAP,               sizeof(struct vuser_dma_map_req),    sizeof(struct vuser_dma_map_req),    1,  RUN, true,  vuser_check_dma_map, vuser_handle_dma_map),
	ROW(DMA_UNMAP,             sizeof(struct vuser_dma_unmap_req),  sizeof(struct vuser_dma_unmap_req),  0,  RUN, true,  vuser_check_dma_unmap, vuser_handle_dma_unmap),
	ROW(DEVICE_GET_INFO,       sizeof(struct vuser_device_info),    INFO_MAX,                            0,  RUN, false, vuser_check_device_info, vuser_handle_device_info),
	ROW(DEVICE_GET_REGION_INFO, sizeof(struct vfio_region_info),    INFO_MAX,                            0,  RUN, false, vuser_check_region_info, vuser_handle_region_info),
	ROW(DEVICE_GET_REGION_IO_FDS, sizeof(struct vuser_region_io_fds), INFO_MAX,                          0,  RUN, false, vuser_check_region_io_fds, vuser_handle_region_io_fds),
	ROW(DEVICE_GET_IRQ_INFO,   sizeof(struct vfio_irq_info),        sizeof(struct vfio_irq_info),        0,  RUN, false, vuser_check_irq_info, vuser_handle_irq_info),
	ROW(DEVICE_SET_IRQS,       sizeof(struct vfio_irq_set),         VUSER_MAX_PAYLOAD,     LIMIT_VUSER_FDS,  RUN, true,  vuser_check_set_irqs, vuser_handle_set_irqs),
	ROW(REGION_READ,           sizeof(struct vuser_region_access),  sizeof(struct vuser_region_access),  0,  RUN, false, vuser_check_region_read, vuser_handle_region_read),
	ROW(REGION_WRITE,          sizeof(struct vuser_region_access),  sizeof(struct vuser_region_access) + VUSER_MAX_XFER,
	                                                                                                     0,  RUN, true,  vuser_check_region_write, vuser_handle_region_write),
	ROW(DMA_READ,              0,                                   VUSER_MAX_PAYLOAD,                   0,  RUN, false, NULL, vuser_handle_wrong_way),
	ROW(DMA_WRITE,             0,                                   VUSER_MAX_PAYLOAD,                   0,  RUN, false, NULL, vuser_handle_wrong_way),
	ROW(DEVICE_RESET,          0,                                   0,                                   0,  RUN, true,  NULL, vuser_handle_reset),
	ROW(DIRTY_PAGES,           0,                                   VUSER_MAX_PAYLOAD,                   0,  RUN, false, NULL, vuser_handle_unsupported),
	ROW(REGION_WRITE_MULTI,    sizeof(struct vuser_write_multi) + sizeof(struct vuser_write_one), VUSER_MAX_PAYLOAD,
	                                                                                                     0,  RUN, true,  vuser_check_write_multi, vuser_handle_write_multi),
	ROW(DEVICE_FEATURE,        sizeof(struct vuser_feature),        VUSER_MAX_PAYLOAD,                   0,  RUN, false, vuser_check_feature, vuser_handle_feature),
	ROW(MIG_DATA_READ,         0,                                   VUSER_MAX_PAYLOAD,                   0,  RUN, false, NULL, vuser_handle_unsupported),
	ROW(MIG_DATA_WRITE,        0,                                   VUSER_MAX_PAYLOAD,                   0,  RUN, false, NULL, vuser_handle_unsupported),
};
/* clang-format on */

const struct vuser_cmd *vuser_cmd_find(uint16_t id)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].id == id)
			return &table[i];
	return NULL;
}

/* Stands for a message's command until it is known to be one. */
static const struct vuser_cmd no_cmd = { .name = "(no command)" };

static int validate(struct vuser *v, struct vuser_msg *m)
{
	const struct vuser_cmd *cmd = vuser_cmd_find(m->hdr.cmd);
	uint32_t type = m->hdr.flags & VUSER_F_TYPE;

	/* we never ask anything, so nothing can be a reply to us */
	if (type == VUSER_F_TYPE_REPLY)
		return vuser_refuse(v, -EINVAL, "reply to nothing");
	if (type != VUSER_F_TYPE_COMMAND || (m->hdr.flags & ~(VUSER_F_TYPE | VUSER_F_NO_REPLY)))
		return vuser_refuse(v, -EINVAL, "flags %#x", m->hdr.flags);
	if (!cmd)
		return vuser_refuse(v, -EINVAL, "unknown command %u", m->hdr.cmd);
	m->cmd = cmd;
	if (!(cmd->states & IN(v->state)))
		return vuser_refuse(v, -EINVAL, "not in state %s", vuser_state_to_string(v->state));
	if ((m->hdr.flags & VUSER_F_NO_REPLY) && !cmd->no_reply_ok)
		return vuser_refuse(v, -EINVAL, "makes no sense without a reply");
	if (m->len < cmd->min_len || m->len > cmd->max_len)
		return vuser_refuse(v, -EINVAL, "payload of %zu bytes, must be %u to %u", m->len, cmd->min_len, cmd->max_len);
	if (v->nr_fds > cmd->max_fds)
		return vuser_refuse(v, -EINVAL, "%zu descriptors, at most %u", v->nr_fds, cmd->max_fds);
	return cmd->check ? cmd->check(v, m) : 0;
}

static struct vuser_hdr answer_hdr(const struct vuser_hdr *to, int num, size_t len)
{
	return (struct vuser_hdr){
		.id = to->id,
		.cmd = to->cmd,
		.size = (uint32_t)(VUSER_HDR + len),
		.flags = VUSER_F_TYPE_REPLY | (num < 0 ? VUSER_F_ERROR : 0),
		.error = num < 0 ? (uint32_t)-num : 0,
	};
}

static bool wants_answer(const struct vuser_hdr *to)
{
	return (to->flags & VUSER_F_TYPE) != VUSER_F_TYPE_REPLY && !(to->flags & VUSER_F_NO_REPLY);
}

/* The header of the answer goes into v->tx; its payload is there already. */
static int answer(struct vuser *v, const struct vuser_hdr *to, int num, size_t len, int fd)
{
	struct vuser_hdr hdr = answer_hdr(to, num, len);

	if (!wants_answer(to))
		return 0;
	memcpy(v->tx, &hdr, sizeof(hdr));
	return vuser_tx(v, hdr.size, fd);
}

int vuser_answer_error(struct vuser *v, const struct vuser_hdr *to, int num)
{
	return answer(v, to, num, 0, -1);
}

static void note_refusal(struct vuser *v, uint16_t id, const struct vuser_cmd *cmd, int num)
{
	v->stats.nr_rejected++;
	snprintf(v->last_error, sizeof(v->last_error), "%s: msg %#x %s refused: %s (errno %d)", v->name, id, cmd->name,
		 v->why[0] ? v->why : "the device said no", -num);
}

/* Answer a message that has been dealt with, or keep the answer's place. */
static void conclude(struct vuser *v, const struct vuser_msg *m, int r, struct vuser_reply *reply)
{
	if (r == VUSER_LATER) {
		struct vuser_hdr hdr = answer_hdr(&m->hdr, 0, 0);

		r = vuser_tx_later(v, &hdr, !wants_answer(&m->hdr));
	} else {
		if (r < 0) {
			note_refusal(v, m->hdr.id, m->cmd, r);
			*reply = (struct vuser_reply){ .fd = -1 }; /* an error is a header and nothing else */
		}
		r = answer(v, &m->hdr, r, reply->len, reply->fd);
	}
	if (r == -ENOBUFS)
		vuser_refuse(v, r, "does not read its answers");
	else if (r < 0)
		vuser_refuse(v, r, "answer could not be sent: errno %d", -r);
	if (r < 0 || v->hang_up)
		vuser_drop(v, v->why);
}

void vuser_dispatch(struct vuser *v)
{
	struct vuser_msg m = { .hdr = v->hdr, .cmd = &no_cmd, .data = v->rx, .len = v->hdr.size - VUSER_HDR };
	struct vuser_reply reply = { .data = v->tx + VUSER_HDR, .fd = -1 };
	int r;

	v->why[0] = '\0';
	r = validate(v, &m);
	if (r == 0) {
		v->stats.nr_messages++;
		r = m.cmd->handle(v, &m, &reply); /* NOLINT(clang-analyzer-core.CallAndMessage): validate() put a row there */
	}
	vuser_rx_reset(v); /* closes whatever the handler did not take */
	conclude(v, &m, r, &reply);
}

void vuser_later_done(struct vuser *v, int num)
{
	if (!v->nr_later)
		return;
	v->nr_later = 0;
	v->why[0] = '\0';
	for (struct vuser_out *o = v->out; o; o = o->next) {
		struct vuser_hdr hdr;

		if (!o->later)
			continue;
		o->later = false;
		memcpy(&hdr, o->data, sizeof(hdr));
		hdr = answer_hdr(&hdr, num, 0);
		memcpy(o->data, &hdr, sizeof(hdr));
		if (num < 0)
			note_refusal(v, hdr.id, vuser_cmd_find(hdr.cmd), num);
	}
	if (vuser_tx_flush(v) < 0)
		vuser_drop(v, "connection lost while answering");
}
