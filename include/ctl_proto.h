/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Constants of the control protocol (docs/control-protocol.md), shared by gangwayd and gangway. */
#ifndef GANGWAY_CTL_PROTO_H
#define GANGWAY_CTL_PROTO_H

#define CTL_PROTOCOL 1
#define CTL_SOCKET "/run/gangway/gangwayd.sock"

/* JSON-RPC error codes */
#define CTL_ERR_PARSE (-32700)
#define CTL_ERR_REQUEST (-32600)
#define CTL_ERR_METHOD (-32601)
#define CTL_ERR_PARAMS (-32602)
#define CTL_ERR_FAILED (-32000) /* the operation failed: see error.data */

#endif
