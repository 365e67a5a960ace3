# Observer.pm
#    What is looked at all the time, beside the clients: data directories (I5) and
#    secrets (I9).
package Observer;

use strict;
use warnings;
use RegentCluster qw(slurp);

sub new
{
	my ($class, %o) = @_;
	return bless { %o, dirs => {}, found => [], next => 0 }, $class;
}

sub begin { my ($self) = @_; $self->{found} = []; $self->{missing} = {}; $self->look_at_directories }

sub tick
{
	my ($self) = @_;
	return if Util::now() < $self->{next};
	$self->{next} = Util::now() + 0.25;
	$self->look_at_directories;
	$self->look_at_processes;
}

# ---- data directories ----

sub system_identifier
{
	my ($dir) = @_;
	open(my $fh, '<:raw', "$dir/global/pg_control") or return undef;
	my $buf;
	return read($fh, $buf, 8) == 8 ? unpack('Q', $buf) : undef;
}

# A complete directory has a control file; a copy under way may not.
sub look_at_directories
{
	my ($self) = @_;
	my $c = $self->{cluster};
	for my $name (@Cluster::nodes)
	{
		my %now;
		for my $dir (glob $c->data($name) . '*')
		{
			my $id = system_identifier($dir) // next;
			my $inode = (stat $dir)[1] // next;
			$now{$inode} = $dir;
			# a rewind hides the control file from all servers, under its mark, until it is whole
			next if $id == 0 && (-p "$dir/regent.rewinding" || system_identifier($dir));
			$self->{identifier} //= $id;
			push @{ $self->{found} }, "I5: $dir has system identifier $id" if $id != $self->{identifier};
		}
		my $current = $c->data($name);
		# a swap has its moment, two looks have not
		if (-e "$current/PG_VERSION") { $self->{missing}{$name} = 0 }
		elsif (!defined $self->{missing}{$name}) { }    # it had none yet
		elsif (++$self->{missing}{$name} == 2) { push @{ $self->{found} }, "I5: $current is missing" }
		my $inode = (stat $current)[1] // 0;
		my $proved = $self->{proved}{$name} ||= {};    # each host's disk numbers its own
		$proved->{$inode} ||= $self->streams($name);
		my $was = $self->{dirs}{$name} || {};
		for my $gone (grep { !$now{$_} } keys %$was)
		{
			# a copy that never streamed may go; what a server lived on only when its successor has streamed
			next unless $proved->{$gone};
			push @{ $self->{found} }, "I5: $was->{$gone} was removed before another copy streamed" unless $proved->{$inode} ||= $self->says_streaming($name);
		}
		$self->{dirs}{$name} = \%now;
	}
}

# This host was emptied by the test itself.
sub forget
{
	my ($self, $name) = @_;
	delete $self->{$_}{$name} for qw(dirs missing proved);
}

# Its server streams, or is a primary.
sub streams
{
	my ($self, $name) = @_;
	my $h = $self->{cluster}->host($name);
	return scalar(() = $h->find(qr/^postgres: (?:\S+: )?walreceiver streaming/)) || scalar(() = $h->find(qr/^postgres: (?:\S+: )?walwriter/));
}

# The title is written with the first WAL that comes; in an idle cluster the server has to be asked.
sub says_streaming { my ($self, $name) = @_; return ($self->{cluster}->sql($name, 'SELECT status FROM pg_stat_wal_receiver', 3) // '') eq 'streaming' }

# ---- secrets ----

sub secret_in
{
	my ($self, $text) = @_;
	return 0 unless defined $text;
	return grep { index($text, $_) >= 0 } values %{ $self->{cluster}{secret} };
}

# argv and environment of every process of every host
sub look_at_processes
{
	my ($self) = @_;
	for my $dir (glob '/proc/[0-9]*')
	{
		for my $file (qw(cmdline environ))
		{
			my $text = slurp("$dir/$file");
			next unless $self->secret_in($text);
			push @{ $self->{found} }, "I9: a password in $file of: " . Host::title_of($dir =~ /(\d+)/);
		}
	}
}

# Logs, journal, answers.
sub look_at_files
{
	my ($self, @texts) = @_;
	my $c = $self->{cluster};
	for my $file (map { glob $_->dir . '/*.log' } $c->hosts)
	{
		push @{ $self->{found} }, "I9: a password in $file" if $self->secret_in(slurp($file));
	}
	for my $file (glob $c->host('w')->dir . '/state/*')
	{
		push @{ $self->{found} }, "I9: a password in $file" if -f $file && $self->secret_in(slurp($file));
	}
	push @{ $self->{found} }, 'I9: a password in an answer of regent' if grep { $self->secret_in($_) } @texts;
}

1;
