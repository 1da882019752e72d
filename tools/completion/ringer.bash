# Completion of ringer for bash.  The options come from the program itself.

# _ringer_words WORDS CURRENT: those of WORDS that begin as CURRENT does.
_ringer_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
    case ${COMPREPLY[*]} in
    *[=:]) compopt -o nospace 2>/dev/null ;; # a file's name follows
    esac
}

_ringer_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_ringer() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local name words all=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _ringer_words 'classify lockstep run snapshot help --version' "$current"
        return
    fi
    if [ "${COMP_WORDS[1]}" = classify ]; then
        case $previous in
        --html) _ringer_files "$current" ;;
        *) _ringer_words '--help --html --json' "$current" ;;
        esac
        return
    fi
    case ${COMP_WORDS[1]} in
    run) ;;
    snapshot)
        case $current in
        -*) _ringer_words '--check --help --replace' "$current" ;;
        *) _ringer_files "$current" ;;
        esac
        return
        ;;
    lockstep)
        all='--engines --every'
        if [ "$previous" = --engines ]; then
            _ringer_words 'hybrid,interp interp,interp-nocache trap,interp' "$current"
            return
        fi
        ;;
    *) return ;;
    esac
    # In --stats=FILE and file:PATH, bash takes the = and the : for words of their own.
    case $current in
    = | :)
        [ "$previous" = --balloon ] || _ringer_files ''
        return
        ;;
    esac
    case $previous in
    = | :)
        [ "${COMP_WORDS[COMP_CWORD - 2]}" = --balloon ] || _ringer_files "$current"
        return
        ;;
    esac
    while IFS=$'\t' read -r name words; do
        all+=" $name"
        [ "$name" = "$previous" ] || continue
        case $words in
        '') ;;
        file) _ringer_files "$current" ;;
        *) _ringer_words "$words" "$current" ;;
        esac
        [ "${#COMPREPLY[@]}" -eq 0 ] || return
    done < <("${COMP_WORDS[0]}" --option-words 2>/dev/null)
    case $current in
    '' | -*) _ringer_words "$all" "$current" ;;
    esac
}
complete -F _ringer ringer
