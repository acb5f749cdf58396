# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for gangway. What there is to complete the command itself knows (`gangway --complete WORD...`): commands and
# options from its own table; guests, PFs and VFs from the daemon, if it answers within a second.

_gangway()
{
	local line=${COMP_LINE:0:COMP_POINT} cur reply word tail
	local -a words

	# Words as the shell will see them: readline splits at ":" and "=", which BDFs and --option=value are full of.
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=('')
	cur=${words[${#words[@]} - 1]}

	COMPREPLY=()
	reply=$("${words[0]}" --complete "${words[@]:1}" 2>/dev/null) || return 0
	if [[ $reply == @files ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "${cur#--*=}")
		return 0
	fi

	# readline replaces only what stands behind the last ":" or "=" that it splits at
	tail=$cur
	[[ $COMP_WORDBREAKS == *:* ]] && tail=${tail##*:}
	[[ $COMP_WORDBREAKS == *=* ]] && tail=${tail##*=}
	for word in $reply; do
		COMPREPLY+=("${word:${#cur} - ${#tail}}")
	done
	return 0
}

complete -F _gangway gangway
