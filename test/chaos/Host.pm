# Host.pm
#    A host: namespaces for its processes, its mounts, its network, its shared
#    memory and its clock, and a disk that survives a loss of power.
#
# It lives as long as its process 1.  Killing that is pulling the plug: nothing
# is written any more and nobody is told, as the port is gone with it.  The disk
# is a tmpfs of the test: what a server wrote is there after the boot, whether it
# was synced or not (losing unsynced writes is left to the simulator).  Each
# boot has a boot id of its own, and CLOCK_BOOTTIME starts anywhere, so that
# clocks of two hosts can't be compared by mistake.
package Host;

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use IO::Socket::INET;
use RegentCluster qw(slurp spew wait_until run_command);
use Time::HiRes qw(time sleep);

my $here = dirname(__FILE__);

# new(name, number, dir, user, net, rng, disk_mb)
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, address => "$Net::prefix.$o{number}", dir => "$o{dir}/$o{name}" }, $class;
	@{$self}{qw(uid gid)} = (getpwnam($o{user}))[ 2, 3 ];
	make_path($self->{dir});
	RegentCluster::must([ 'mount', '-t', 'tmpfs', '-o', "size=$o{disk_mb}m,mode=0755,uid=$self->{uid},gid=$self->{gid}", 'tmpfs', $self->{dir} ])
		if $o{disk_mb};
	return $self;
}

sub name { return $_[0]{name} }
sub address { return $_[0]{address} }
sub dir { return $_[0]{dir} }
sub init_pid { return $_[0]{init} }
sub is_up { return defined $_[0]{init} }

sub own { my ($self, @files) = @_; chown($self->{uid}, $self->{gid}, @files) == @files or die "chown @files: $!" }

# A file of the host's user.
sub put
{
	my ($self, $file, $text, $mode) = @_;
	spew("$self->{dir}/$file", $text, $mode // 0644);
	$self->own("$self->{dir}/$file");
	return "$self->{dir}/$file";
}

# ---- power ----

sub uuid { my ($rng) = @_; return join '-', unpack('A8 A4 A4 A4 A12', sprintf '%08x%08x%08x%08x', map { $rng->word } 1 .. 4) }

# CLOCK_BOOTTIME of this boot: anywhere between a few seconds and some weeks.
sub clock_offset
{
	my ($self) = @_;
	my ($up) = split / /, slurp('/proc/uptime');
	return int($self->{rng}->between(5, 2_000_000) - $up);
}

sub boot
{
	my ($self) = @_;
	return if $self->is_up;
	unlink glob "$self->{dir}/run/.s.*";    # /run is empty after a boot
	my $boot_id = $self->put('boot_id', uuid($self->{rng}) . "\n");
	pipe(my $in, my $out) or die "pipe: $!";
	my $pid = fork() // die "can't fork: $!";
	if ($pid == 0)
	{
		close $in;
		setpgrp(0, 0);
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>&', $out);
		open(STDERR, '>>', "$self->{dir}/init.log");
		exec('unshare', '--mount', '--pid', '--ipc', '--uts', '--net', '--time', '--boottime=' . $self->clock_offset, '--fork',
			'--kill-child=KILL', '--mount-proc', $^X, "$here/init.pl", $self->name, $boot_id) or POSIX::_exit(127);
	}
	close $out;
	my $ready = <$in>;
	die $self->name . " does not boot\n" unless defined $ready && $ready eq "ready\n";
	$self->{unshare} = $pid;
	($self->{init}) = split / /, slurp("/proc/$pid/task/$pid/children");
	$self->{ns} = readlink("/proc/$self->{init}/ns/pid");
	$self->{net}->attach($self);
	$self->start_sshd if -e "$self->{dir}/sshd.conf";
}

# Pulls the plug.
sub power_off
{
	my ($self) = @_;
	return unless $self->is_up;
	# first the cable, or the kernel would close the host's connections politely
	run_command([ 'ip', 'link', 'set', 'v-' . $self->name, 'down' ]);
	kill('KILL', delete $self->{init});
	waitpid(delete $self->{unshare}, 0);
	delete $self->{ns};
}

# ---- processes ----

# Those of this host, as this test numbers them.
sub pids
{
	my ($self) = @_;
	my $ns = $self->{ns} or return;
	return map { m{/(\d+)/} } grep { (readlink($_) // '') eq $ns } glob '/proc/[0-9]*/ns/pid';
}

sub state_of { my ($pid) = @_; my $stat = slurp("/proc/$pid/stat") // ''; return $stat =~ /\) (\S) /s ? $1 : '' }

sub title_of { my ($pid) = @_; my $line = slurp("/proc/$pid/cmdline") // ''; $line =~ s/\0+\z//; $line =~ tr/\0/ /; return $line }

# Those whose title matches.
sub find
{
	my ($self, $pattern) = @_;
	return grep { state_of($_) ne 'Z' && title_of($_) =~ $pattern } $self->pids;
}

# The number here of the process that the host calls $inner.
sub outer_pid
{
	my ($self, $inner) = @_;
	for my $pid ($self->pids)
	{
		my $status = slurp("/proc/$pid/status") // next;
		return $pid if $status =~ /^NSpid:.*\t(\d+)$/m && $1 == $inner;
	}
	return undef;
}

# Every process, also those that are born meanwhile.
sub freeze
{
	my ($self) = @_;
	for (1 .. 200)
	{
		my @running = grep { state_of($_) !~ /^[TtZX]?$/ } $self->pids;
		last unless @running;
		kill('STOP', @running);
	}
	$self->{frozen} = 1;
}

sub wake
{
	my ($self) = @_;
	my @pids = $self->pids;
	kill('CONT', @pids) if @pids;
	$self->{frozen} = 0;
	# nsenter stops itself with its child, and does not wake with it
	for my $pid (map { m{/(\d+)/} } glob '/proc/[0-9]*/stat')
	{
		kill('CONT', $pid) if state_of($pid) eq 'T' && title_of($pid) =~ /^nsenter /;
	}
}

# ---- commands in the host, as its user ----

sub words
{
	my ($self, @cmd) = @_;
	return ('nsenter', '-t', $self->{init}, '-m', '-u', '-i', '-n', '-p', '-T', '--', 'setpriv', "--reuid=$self->{uid}", "--regid=$self->{gid}",
		'--init-groups', '--', 'env', '-i', "HOME=$self->{dir}", 'LANG=C.UTF-8', "PATH=$ENV{PATH}", @cmd);
}

sub run { my ($self, $cmd, %o) = @_; return run_command([ $self->words(@$cmd) ], %o) }

sub must { my ($self, $cmd, %o) = @_; return RegentCluster::must([ $self->words(@$cmd) ], %o) }

# Starts a daemon; returns its pid here, undef when it ended at once.
sub daemon
{
	my ($self, $cmd, $log) = @_;
	my $out = $self->must([ 'sh', '-c', 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!', 'sh', $log, @$cmd ], timeout => 20);
	chomp $out;
	return $self->outer_pid($out);
}

# Starts a command and forgets about it.
sub start
{
	my ($self, $cmd, $log) = @_;
	my $pid = fork() // die "can't fork: $!";
	return push @{ $self->{started} }, $pid if $pid;
	setpgrp(0, 0);
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', $log);
	open(STDERR, '>>', $log);
	exec($self->words(@$cmd)) or POSIX::_exit(127);
}

# Collects what start() started and has ended.
sub collect
{
	my ($self) = @_;
	$self->{started} = [ grep { waitpid($_, POSIX::WNOHANG()) == 0 } @{ $self->{started} || [] } ];
}

# ---- sshd ----

sub start_sshd
{
	my ($self) = @_;
	$self->{sshd} = $self->daemon([ '/usr/sbin/sshd', '-D', '-e', '-f', "$self->{dir}/sshd.conf" ], "$self->{dir}/sshd.log");
}

sub make_sshd
{
	my ($self, $port, $authorized) = @_;
	my $d = $self->{dir};
	RegentCluster::must([ 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', $self->name, '-f', "$d/host_key" ]);
	$self->own("$d/host_key", "$d/host_key.pub");
	$self->put('authorized_keys', $authorized, 0600);
	$self->put('sshd.conf', <<"END");
Port $port
ListenAddress $self->{address}
HostKey $d/host_key
AuthorizedKeysFile $d/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
MaxSessions 20
MaxStartups 50
LogLevel VERBOSE
END
	my ($type, $key) = split / /, slurp("$d/host_key.pub");
	return ($port == 22 ? $self->{address} : "[$self->{address}]:$port") . " $type $key\n";
}

1;
